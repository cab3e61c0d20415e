// What the test runners wrote down, as one kind of tally.
import { relative } from 'node:path';

/**
 * @typedef {{ passed: number, failed: number, skipped: number, failures: string[] }} Tally `failures` are names
 */

/** @returns {Tally} */
export const emptyTally = () => ({ passed: 0, failed: 0, skipped: 0, failures: [] });

/**
 * @param {Tally[]} tallies
 * @returns {Tally}
 */
export const addTallies = (tallies) =>
  tallies.reduce(
    (sum, one) => ({
      passed: sum.passed + one.passed,
      failed: sum.failed + one.failed,
      skipped: sum.skipped + one.skipped,
      failures: [...sum.failures, ...one.failures],
    }),
    emptyTally(),
  );

/** @param {Tally} tally */
export const formatTally = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;

/**
 * @typedef {object} JestReport
 * @property {number} numPassedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {{ name: string, status: string, assertionResults: { status: string, fullName: string }[] }[]} testResults
 */

/**
 * @param {JestReport} report
 * @param {string} root names of files are told relative to it
 * @returns {Tally}
 */
export function readJestReport(report, root) {
  const failures = report.testResults.flatMap(({ name, status, assertionResults }) => {
    const file = relative(root, name);
    const failed = assertionResults
      .filter((test) => test.status === 'failed')
      .map((test) => `${file}: ${test.fullName}`);
    // A file that does not even load has no tests to count; it counts as one.
    return status === 'failed' && failed.length === 0 ? [`${file}: did not run to its end`] : failed;
  });
  return {
    passed: report.numPassedTests,
    failed: failures.length,
    skipped: report.numPendingTests + report.numTodoTests,
    failures,
  };
}

/**
 * @param {string} xml as pytest writes it
 * @returns {Tally}
 */
export function readJunitReport(xml) {
  const tally = emptyTally();
  for (const match of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)) {
    const [, attributes = '', body = ''] = match;
    if (/<(failure|error)\b/.test(body)) {
      tally.failed += 1;
      tally.failures.push(`${attribute(attributes, 'classname')}: ${attribute(attributes, 'name')}`);
    } else if (/<skipped\b/.test(body)) tally.skipped += 1;
    else tally.passed += 1;
  }
  return tally;
}

const ENTITIES = new Map([
  ['quot', '"'],
  ['apos', "'"],
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
]);

/**
 * @param {string} attributes
 * @param {string} name
 */
function attribute(attributes, name) {
  const value = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? '?';
  return value.replaceAll(/&(\w+);/g, (whole, entity) => ENTITIES.get(entity) ?? whole);
}
