import { writeFileSync } from 'node:fs';

import { endOnSignals } from '../support/at-exit.js';
import { describeMachine } from '../support/machine.js';
import { progressLine } from '../support/progress-line.js';
import { publish } from '../support/publish.js';
import { readOptions, USAGE } from './options.js';
import type { StormOptions } from './options.js';
import { broken, stormText } from './report.js';
import { runStorms } from './run-storms.js';

endOnSignals();

const PAGE = 'docs/reliability.md';

const options = optionsOrExit();
if (options === 'help') console.log(USAGE);
else await run(options);

async function run(asked: StormOptions): Promise<void> {
  const machine = describeMachine();
  const progress = progressLine();
  const storms = await runStorms(asked, progress.tell).finally(progress.end);
  const text = stormText(storms, asked, machine);
  console.log(`\n${text}`);
  if (asked.report !== null)
    writeFileSync(asked.report, JSON.stringify({ options: asked, machine, ...storms }, null, 2));
  if (asked.publish) publish(PAGE, 'storm', text);
  const bad = storms.reports.filter((report) => broken(report) > 0);
  for (const { nodes, verdict } of bad) {
    const { lost, stuck, duplicated, wrong } = verdict;
    console.error(`on ${nodes} node(s): ${JSON.stringify({ lost, stuck, duplicated, wrong })}`);
  }
  process.exitCode = bad.length > 0 || storms.reports.length === 0 ? 1 : 0;
}

function optionsOrExit(): StormOptions | 'help' {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(64);
  }
}
