// `npm test`: all tests of both languages; the last line is plain: "N passed, M failed".
import { formatDuration } from './bootstrap/progress.mjs';
import { addTallies, formatTally } from './testing/reports.mjs';
import { runSuite } from './testing/run-suite.mjs';
import { suites } from './testing/suites.mjs';

/** @type {{ title: string, result: import('./testing/run-suite.mjs').SuiteResult }[]} */
const results = [];
for (const suite of suites) {
  console.log(`\n── ${suite.title}`);
  results.push({ title: suite.title, result: await runSuite(suite, { live: true }) });
}

const total = addTallies(results.map(({ result }) => result.tally));
console.log('\n── summary');
for (const { title, result } of results) {
  console.log(
    `${result.tally.failed === 0 ? '✓' : '✗'} ${title}: ${formatTally(result.tally)} (${formatDuration(result.milliseconds)})`,
  );
}
if (total.failures.length > 0) {
  console.log('\nFailed:');
  for (const failure of total.failures) console.log(`  ${failure}`);
}
console.log(`\n${formatTally(total)}`);
process.exitCode = total.failed === 0 ? 0 : 1;
