import { SHORT } from '../bench/faults/options.js';
import { broken, stormText } from '../bench/faults/report.js';
import { runStorms } from '../bench/faults/run-storms.js';
import { describeMachine } from '../bench/support/machine.js';
import { NO_POSTGRES, postgresUrl } from '../support/postgres.js';

// The short form of `npm run bench:faults`; docs/reliability.md says what it throws.
describe('a storm of kills, cuts, full disks and impatient clients', () => {
  it('loses, doubles and spoils nothing on one node', () => expectUnharmed(1), 240_000);

  const withPostgres = postgresUrl === null ? it.skip : it;
  const why = postgresUrl === null ? ` (skipped: ${NO_POSTGRES})` : '';
  withPostgres(`loses, doubles and spoils nothing on three nodes${why}`, () => expectUnharmed(3), 240_000);
});

async function expectUnharmed(nodes: 1 | 3): Promise<void> {
  const options = { ...SHORT, nodes: [nodes] };
  const storms = await runStorms(options, () => undefined);
  const [report] = storms.reports;
  // A storm that broke something says all it knows.
  if (broken(report!) > 0) console.error(stormText(storms, options, describeMachine()));
  const { verdict, leftovers, recoveries } = report!;
  expect(verdict).toMatchObject({ lost: [], stuck: [], duplicated: [], wrong: [] });
  expect(verdict.accepted).toBeGreaterThan(0);
  expect(verdict.succeeded).toBeGreaterThan(verdict.accepted / 2);
  expect(recoveries.length).toBeGreaterThan(0);
  expect(leftovers).toMatchObject({ permits: 0, workerProcesses: 0, openAttempts: 0 });
}
