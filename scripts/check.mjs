// `npm run check`: everything CI runs. Goes on after a failure, shows the output of what failed, and
// ends with one plain line that counts tests and steps alike: "N passed, M failed".
// `-- --without-tests` leaves the tests out, which `npm test` runs.
import { checkSteps } from './checking/steps.mjs';
import { formatDuration } from './bootstrap/progress.mjs';
import { addTallies, formatTally } from './testing/reports.mjs';
import { runSuite } from './testing/run-suite.mjs';
import { suites } from './testing/suites.mjs';

const MARKS = { passed: '✓', failed: '✗', skipped: '–' };
const startedAt = Date.now();
/** @type {import('./testing/reports.mjs').Tally[]} */
const tallies = [];

/**
 * @param {keyof typeof MARKS} outcome
 * @param {string} title
 * @param {number} since
 * @param {string} [more]
 */
const tell = (outcome, title, since, more) =>
  console.log(`${MARKS[outcome]} ${title.padEnd(38)} ${formatDuration(Date.now() - since)}${more ? `   ${more}` : ''}`);

/** @param {string} output */
const show = (output) => console.log(`\n${output.trimEnd().replaceAll(/^/gm, '    ')}\n`);

for (const { title, run } of checkSteps) {
  const since = Date.now();
  const { outcome, output, reason } = await run();
  tell(outcome, title, since, reason);
  if (outcome === 'failed') show(output);
  tallies.push({
    passed: Number(outcome === 'passed'),
    failed: Number(outcome === 'failed'),
    skipped: Number(outcome === 'skipped'),
    failures: outcome === 'failed' ? [title] : [],
  });
}

const withTests = !process.argv.includes('--without-tests');
for (const suite of withTests ? suites : []) {
  const since = Date.now();
  const { tally, output } = await runSuite(suite, { live: false });
  tell(tally.failed === 0 ? 'passed' : 'failed', suite.title, since, formatTally(tally));
  if (tally.failed > 0) show(output);
  tallies.push(tally);
}

const total = addTallies(tallies);
if (total.failures.length > 0) {
  console.log('\nFailed:');
  for (const failure of total.failures) console.log(`  ${failure}`);
}
console.log(`\n${withTests ? 'Tests and checks together' : 'Checks'}, in ${formatDuration(Date.now() - startedAt)}:`);
console.log(formatTally(total));
process.exitCode = total.failed === 0 ? 0 : 1;
