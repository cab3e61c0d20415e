import { parseArgs } from 'node:util';

import type { FaultName } from './fault.js';
import { FAULT_NAMES } from './fault.js';

export interface StormOptions {
  /** Jobs of a storm; the calm before it takes a part of them. */
  readonly jobs: number;
  /** Topologies, one storm each. */
  readonly nodes: readonly (1 | 3)[];
  readonly seed: number;
  /** Minutes after which a storm submits nothing more. */
  readonly minutes: number;
  /** The faults that are thrown. */
  readonly faults: readonly FaultName[];
  /** Mean milliseconds between two faults. */
  readonly faultEveryMs: number;
  /** File for the JSON report; null: none. */
  readonly report: string | null;
  /** Writes the figures into docs/reliability.md. */
  readonly publish: boolean;
  /** Shell command that restarts the database server, used instead of cutting its connections; null: they are cut. */
  readonly restartDatabase: string | null;
}

export const SHORT: StormOptions = {
  jobs: 50,
  nodes: [1, 3],
  seed: 5,
  minutes: 1,
  faults: FAULT_NAMES,
  faultEveryMs: 2500,
  report: null,
  publish: false,
  restartDatabase: null,
};

/** 10,000 jobs in all. */
const LONG: StormOptions = { ...SHORT, jobs: 5000, minutes: 120, faultEveryMs: 10_000 };

export const USAGE = `npm run bench:faults -- [options]

  --short                    ${SHORT.jobs} jobs on each topology, as CI runs it
  --jobs N                   jobs of each storm (${LONG.jobs})
  --nodes 1|3                one topology only; both when left out
  --seed N                   repeats the requests and the schedule of faults (${LONG.seed})
  --minutes N                longest time a storm submits for (${LONG.minutes})
  --every MS                 mean milliseconds between two faults (${LONG.faultEveryMs})
  --only FAULT               may be repeated: ${FAULT_NAMES.join(', ')}
  --restart-database COMMAND restarts the database server by this command rather than by cutting its connections
  --report FILE              writes everything as JSON
  --publish                  writes the figures into docs/reliability.md
`;

/** Throws with a sentence for who typed it. */
export function readOptions(args: readonly string[]): StormOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean' },
      short: { type: 'boolean' },
      jobs: { type: 'string' },
      nodes: { type: 'string' },
      seed: { type: 'string' },
      minutes: { type: 'string' },
      every: { type: 'string' },
      only: { type: 'string', multiple: true },
      'restart-database': { type: 'string' },
      report: { type: 'string' },
      publish: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  const base = values.short ? SHORT : LONG;
  const nodes = values.nodes === undefined ? null : numberOf('--nodes', values.nodes, 1, 3);
  if (nodes !== null && nodes !== 1 && nodes !== 3) throw new Error('--nodes is 1 or 3');
  return {
    jobs: numberOf('--jobs', values.jobs ?? base.jobs, 1, 1_000_000),
    nodes: nodes === null ? base.nodes : [nodes],
    seed: numberOf('--seed', values.seed ?? base.seed, 0, 2 ** 31),
    minutes: numberOf('--minutes', values.minutes ?? base.minutes, 0.1, 1440),
    faultEveryMs: numberOf('--every', values.every ?? base.faultEveryMs, 100, 600_000),
    faults: values.only?.map(faultName) ?? base.faults,
    report: values.report ?? null,
    publish: values.publish ?? false,
    restartDatabase: values['restart-database'] ?? null,
  };
}

function numberOf(option: string, given: string | number, min: number, max: number): number {
  const value = Number(given);
  if (!(value >= min && value <= max)) throw new Error(`${option} is a number from ${min} to ${max}, not ${given}`);
  return value;
}

function faultName(given: string): FaultName {
  const found = FAULT_NAMES.find((name) => name === given);
  if (found === undefined) throw new Error(`--only is one of ${FAULT_NAMES.join(', ')}, not ${given}`);
  return found;
}
