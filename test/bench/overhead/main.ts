import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { NO_POSTGRES, postgresUrl } from '../../support/postgres.js';
import { endOnSignals } from '../support/at-exit.js';
import { describeMachine, machineLine } from '../support/machine.js';
import { progressLine } from '../support/progress-line.js';
import { publish } from '../support/publish.js';
import { snapshotText } from '../support/system-snapshot.js';
import type { Figures } from './figures.js';
import { measure } from './figures.js';
import { overheadText } from './report.js';
import type { StoreKind } from './null-server.js';

const USAGE = `npm run bench:overhead -- [--quick] [--store embedded|postgresql] [--report FILE] [--publish]`;
const PAGE = 'docs/benchmarks.md';

endOnSignals();

const { values } = parseArgs({
  options: {
    help: { type: 'boolean' },
    quick: { type: 'boolean', default: false },
    store: { type: 'string' },
    report: { type: 'string' },
    publish: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else await run();

async function run(): Promise<void> {
  const machine = describeMachine();
  const progress = progressLine();
  const wanted = (['embedded', 'postgresql'] as const).filter((store) => (values.store ?? store) === store);
  const stores = wanted.filter((store) => store === 'embedded' || postgresUrl !== null);
  const figures: Partial<Record<StoreKind, Figures>> = {};
  for (const store of stores) figures[store] = await measure(store, values.quick, progress.tell).finally(progress.end);
  const skipped = wanted.length > stores.length ? [`Without PostgreSQL: ${NO_POSTGRES}.`] : [];
  const [first] = Object.values(figures);
  const measuredWith = first === undefined ? [] : [snapshotText(first.system)];
  const text = [overheadText(figures), ...skipped, machineLine(machine), ...measuredWith].join('\n\n');
  console.log(`\n${text}`);
  if (values.report !== undefined) writeFileSync(values.report, JSON.stringify({ machine, figures }, null, 2));
  if (values.publish) publish(PAGE, 'overhead', text);
}
