import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { eventually } from '../../support/signals.js';
import type { Dice } from '../support/dice.js';
import { diceOf } from '../support/dice.js';
import type { SystemSnapshot } from '../support/system-snapshot.js';
import { systemSnapshot } from '../support/system-snapshot.js';
import { Cluster } from './cluster.js';
import type { ThrownFault } from './fault.js';
import { GoodClient } from './good-client.js';
import type { Verdict } from './judge.js';
import { judge } from './judge.js';
import type { Leftovers } from './leftovers.js';
import { findLeftovers, takenPermits } from './leftovers.js';
import { Load } from './load.js';
import type { Recovery } from './measure.js';
import { attemptOutcomes, goodput, recoveries, redoneWork } from './measure.js';
import type { StormOptions } from './options.js';
import type { References } from './references.js';
import { drawReferences, picturesOf } from './references.js';
import { readRows } from './rows.js';
import { impossibleFaults, possibleFaults, throwFaults } from './schedule.js';

/** Milliseconds after the last fault by which every job has to be final. */
const SETTLE_MS = 120_000;
/** Open jobs for each node: what a worker takes at a time, and some that wait. */
const OPEN_PER_NODE = 24;
/** Out of memory at one phase in about so many, which the worker draws. */
const OUT_OF_MEMORY = { encode: 0.01, denoise: 0.003, decode: 0.02 };

export interface StormReport {
  readonly nodes: number;
  readonly verdict: Verdict;
  readonly leftovers: Leftovers;
  readonly recoveries: readonly Recovery[];
  readonly attempts: Readonly<Record<string, number>>;
  readonly redone: number;
  readonly goodputCalm: number;
  readonly goodputStorm: number;
  /** Answers of status 500. */
  readonly serverErrors: number;
  readonly seconds: number;
  /** Faults that could not be thrown, with the reason. */
  readonly impossible: Readonly<Record<string, string>>;
  /** Of the first node, in the calm. */
  readonly system: SystemSnapshot;
}

/** The calm: references first, drawn one at a time, then the same load without faults. */
export async function calm(
  options: StormOptions,
  nodes: 1 | 3,
  folder: string,
  known: References | null,
  tell: (line: string) => void,
): Promise<{ readonly references: References; readonly goodput: number; readonly system: SystemSnapshot }> {
  const cluster = await Cluster.start({ nodes, folder, faultRules: '', restartDatabase: null });
  try {
    const dice = diceOf(options.seed).for('calm');
    const client = new GoodClient(() => cluster.urls, dice);
    tell(known === null ? 'drawing every request alone' : 'calm');
    const references = known ?? (await drawReferences(client));
    const jobs = Math.max(OPEN_PER_NODE, Math.min(500, Math.round(options.jobs / 2)));
    const until = Date.now() + options.minutes * 60_000;
    const load = new Load(client, { jobs, open: OPEN_PER_NODE * nodes, faults: [], until, dice, goesOn: () => false });
    const beganAt = Date.now();
    await withProgress(load, 'calm', [], tell, () => load.submitAll());
    await load.settle(SETTLE_MS);
    const seconds = (Date.now() - beganAt) / 1000;
    const succeeded = [...load.final.values()].filter((job) => job?.state === 'succeeded').length;
    return { references, goodput: succeeded / seconds, system: await systemSnapshot(cluster.nodes[0]!.url!) };
  } finally {
    await cluster.remove();
  }
}

/** One storm, from the first submission until everything is final and the nodes have stopped. */
export async function storm(
  options: StormOptions,
  nodes: 1 | 3,
  folder: string,
  before: Awaited<ReturnType<typeof calm>>,
  tell: (line: string) => void,
): Promise<StormReport> {
  const dice = diceOf(options.seed).for(`storm on ${nodes}`);
  const beganAt = Date.now();
  const faultRules = options.faults.includes('out_of_memory') ? outOfMemoryRules(dice) : '';
  const cluster = await Cluster.start({ nodes, folder, faultRules, restartDatabase: options.restartDatabase });
  try {
    const client = new GoodClient(() => cluster.urls, dice.for('client'));
    const until = Date.now() + options.minutes * 60_000;
    const faults: ThrownFault[] = [];
    const kinds = possibleFaults(cluster, options.faults).map(({ name }) => name);
    const load = new Load(client, {
      jobs: options.jobs,
      open: Math.min(96, OPEN_PER_NODE * nodes),
      faults: options.faults,
      until,
      dice,
      // Every kind has its turn, however fast the machine.
      goesOn: () => kinds.some((kind) => faults.every(({ name }) => name !== kind)),
    });
    await withProgress(load, `${nodes} node${nodes > 1 ? 's' : ''}`, faults, tell, () =>
      stormUntilSubmitted(cluster, load, options, dice.for('faults'), faults),
    );
    tell('the storm is over; what is open goes on');
    const stuck = await load.settle(SETTLE_MS);
    const ended = await Promise.all(
      load.accepted
        .filter(({ id }) => load.final.has(id))
        .map(async (accepted) => {
          const job = load.final.get(accepted.id) ?? null;
          return { accepted, job, pictures: job?.state === 'succeeded' ? await picturesOf(client, job) : [] };
        }),
    );
    await cluster.noteWorkers();
    const permits = await eventually(
      'no permit is taken',
      async () => ((await takenPermits(cluster)) === 0 ? 0 : null),
      10_000,
    ).catch(() => takenPermits(cluster));
    await cluster.stop();
    const rows = await readRows(cluster);
    return {
      nodes,
      verdict: judge(ended, stuck, rows, before.references),
      leftovers: findLeftovers(cluster, rows, permits),
      recoveries: recoveries(faults, rows),
      attempts: attemptOutcomes(rows),
      redone: redoneWork(rows),
      goodputCalm: before.goodput,
      goodputStorm: goodput(rows),
      serverErrors: client.serverErrors,
      seconds: (Date.now() - beganAt) / 1000,
      impossible: impossibleFaults(cluster, options.faults),
      system: before.system,
    };
  } finally {
    keepLogs(cluster, folder);
    await cluster.remove();
  }
}

async function stormUntilSubmitted(
  cluster: Cluster,
  load: Load,
  options: StormOptions,
  dice: Dice,
  faults: ThrownFault[],
): Promise<void> {
  const over = new AbortController();
  const throwing = throwFaults(cluster, options.faults, options.faultEveryMs, dice, over.signal, (fault) =>
    faults.push(fault),
  );
  // A fault that cannot be undone ends the load too, and the load's failure ends the faults.
  await Promise.race([load.submitAll(), throwing.then(() => load.submitAll())]).finally(() => over.abort());
  await throwing;
}

/** Where it strikes, the worker draws; from which seed, our dice. */
function outOfMemoryRules(dice: Dice): string {
  return Object.entries(OUT_OF_MEMORY)
    .map(([phase, share]) => `oom@${phase}:*%${share}#${dice.below(1_000_000)}`)
    .join(';');
}

async function withProgress<T>(
  load: Load,
  title: string,
  faults: readonly ThrownFault[],
  tell: (line: string) => void,
  act: () => Promise<T>,
): Promise<T> {
  const timer = setInterval(() => {
    const { accepted, final } = load.progress;
    const last = faults.at(-1);
    tell(
      `${title}: ${accepted} accepted, ${final} final, ${faults.length} faults${last ? `, last: ${last.what}` : ''}`,
    );
  }, 1000);
  try {
    return await act();
  } finally {
    clearInterval(timer);
  }
}

/** What the nodes said outlives their folders when somebody asked for it. */
function keepLogs(cluster: Cluster, folder: string): void {
  const kept = process.env['SAFELIGHT_BENCH_LOGS'];
  if (!kept) return;
  mkdirSync(kept, { recursive: true });
  for (const node of cluster.nodes) cpSync(node.logFile, join(kept, `${folder.split('/').at(-1)}-${node.name}.log`));
}
