import { writeFileSync } from 'node:fs';

import { endOnSignals } from '../support/at-exit.js';
import type { Machine } from '../support/machine.js';
import { describeMachine } from '../support/machine.js';
import { progressLine } from '../support/progress-line.js';
import { publish } from '../support/publish.js';
import { markdownTable, plainTable } from '../support/table.js';
import type { ExperimentReport } from './experiment.js';
import { runExperiment } from './experiment.js';
import { gatesText } from './gates/report.js';
import { runGates } from './gates/run-gates.js';
import type { ServeOptions } from './options.js';
import { readOptions, USAGE } from './options.js';
import { OwnServer } from './own-server.js';
import { experimentText } from './report.js';

const PAGE = 'docs/benchmarks.md';

endOnSignals();

const options = optionsOrExit();
if (options === 'help') console.log(USAGE);
else if (options.gates) await measureGates(options);
else await measureLoad(options);

async function measureLoad(options: ServeOptions): Promise<void> {
  const machine = describeMachine();
  const report = await withProgress((tell) => loadOn(options, tell));
  console.log(`\n${experimentText(report, machine, options.markdown ? markdownTable : plainTable)}`);
  keep(options, { machine, ...report });
  process.exitCode = report.pictures.wrong > 0 ? 1 : 0;
}

async function loadOn(options: ServeOptions, tell: (line: string) => void): Promise<ExperimentReport> {
  const { url, apiKey } = options;
  if (url !== null) return runExperiment(options, { server: { url, pid: null }, apiKey, tell });
  tell('starting a server');
  const server = await OwnServer.start();
  try {
    return await runExperiment(options, { server, apiKey: null, tell });
  } finally {
    await server.remove();
  }
}

async function measureGates(options: ServeOptions): Promise<void> {
  const machine: Machine = describeMachine();
  const report = await withProgress((tell) => runGates(options, tell));
  console.log(`\n${gatesText(report, machine, options.markdown ? markdownTable : plainTable)}`);
  keep(options, { machine, ...report });
  if (options.publish) publish(PAGE, 'serve', gatesText(report, machine, markdownTable));
  process.exitCode = report.gates.every(({ isMet }) => isMet) ? 0 : 1;
}

async function withProgress<T>(act: (tell: (line: string) => void) => Promise<T>): Promise<T> {
  const progress = progressLine();
  return act(progress.tell).finally(progress.end);
}

function keep({ json, apiKey: _, ...options }: ServeOptions, report: object): void {
  if (json !== null) writeFileSync(json, JSON.stringify({ ...report, options }, null, 2));
}

function optionsOrExit(): ServeOptions | 'help' {
  try {
    return readOptions(process.argv.slice(2), process.env);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(64);
  }
}
