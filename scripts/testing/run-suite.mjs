// Runs one test suite and reads what it reports.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTool } from '../checking/run-tool.mjs';

// The longest takes some thirteen minutes on two cores; a suite that hangs must not hang the build for ever.
const LIMIT_MS = 35 * 60_000;

/**
 * @typedef {{ tally: import('./reports.mjs').Tally, output: string, milliseconds: number }} SuiteResult
 */

/**
 * @param {import('./suites.mjs').Suite} suite
 * @param {{ live: boolean }} options live: the runner writes straight to the terminal
 * @returns {Promise<SuiteResult>}
 */
export async function runSuite(suite, { live }) {
  const folder = mkdtempSync(join(tmpdir(), 'safelight-test-'));
  const report = join(folder, 'report');
  try {
    const { code, output, milliseconds } = await runTool(suite.command, suite.args(report), {
      cwd: suite.cwd,
      live,
      limitMs: LIMIT_MS,
      // Tests build what they need; one that would fetch a model from the network shall fail here, too.
      env: { HF_HUB_OFFLINE: '1' },
    });
    return { tally: readTally(suite, report, code), output, milliseconds };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Every way not to end well counts as a failure, also where no single test is to blame.
 * @param {import('./suites.mjs').Suite} suite
 * @param {string} report
 * @param {number | null} code
 */
function readTally(suite, report, code) {
  const blame = (/** @type {string} */ what) => ({
    passed: 0,
    failed: 1,
    skipped: 0,
    failures: [`${suite.title}: ${what}`],
  });
  /** @type {import('./reports.mjs').Tally} */
  let tally;
  try {
    tally = suite.read(report);
  } catch {
    return blame(`ended without a report (exit code ${code ?? 'none'})`);
  }
  if (tally.passed + tally.failed + tally.skipped === 0) return blame('found no tests');
  if (code !== 0 && tally.failed === 0)
    return {
      ...tally,
      ...blame(`all tests passed, but the runner failed (exit code ${code ?? 'none'})`),
      passed: tally.passed,
      skipped: tally.skipped,
    };
  return tally;
}
