import { BUSY_ABOVE } from '../support/foreign-load.js';
import type { ClientLoad } from './client-watch.js';
import type { LoadFigures } from './figures.js';
import type { ServerFacts } from './server-facts.js';

/** What is known of an experiment beside its figures. */
export interface ExperimentFacts {
  readonly figures: LoadFigures;
  readonly client: ClientLoad;
  /** Milliseconds by which the generator itself was late to send, 99th percentile. */
  readonly lateP99Ms: number;
  /** Requests that were due and waited for a place among those that may be open. */
  readonly heldBack: number;
  readonly mostOpen: number;
  /** Requests a second that were meant to come; null: no pace was set. */
  readonly offeredPerSecond: number | null;
  readonly before: ServerFacts;
  readonly after: ServerFacts;
  /** Processors that were kept busy by others; null: unknown. */
  readonly foreignProcessors: number | null;
}

export interface Warning {
  readonly check: CheckName;
  /** Says why figures are not to be quoted as they stand. */
  readonly text: string;
}

export interface Validity {
  readonly warnings: readonly Warning[];
  /** What could not be checked. */
  readonly unchecked: readonly string[];
}

/** A request is late beyond what timers of one millisecond explain. */
const LATE_MS = 10;
/** And beyond this share of what is measured. */
const LATE_SHARE = 0.05;
const LOOP_DELAY_MS = 20;
const LOOP_UTILIZATION = 0.8;
/** Samples that have to lie beyond a percentile for it to say more than what happened once. */
const BEYOND = 5;
/** Refusals that are the server's own; every other 429 is a limit of a key. */
const OWN_REFUSALS = new Set(['queue_full', 'deadline_infeasible']);

/** Judges an experiment: each check says what is wrong, that it cannot tell, or nothing. */
export function validityOf(facts: ExperimentFacts): Validity {
  const verdicts = (Object.keys(CHECKS) as CheckName[]).map((check) => ({
    check,
    ...(CHECKS[check] as Check)(facts),
  }));
  return {
    warnings: verdicts.flatMap(({ check, warning }) => (warning === undefined ? [] : [{ check, text: warning }])),
    unchecked: verdicts.flatMap(({ unchecked }) => (unchecked === undefined ? [] : [unchecked])),
  };
}

type Check = (facts: ExperimentFacts) => { readonly warning?: string; readonly unchecked?: string } | null;

const warnIf = (holds: boolean, warning: string) => (holds ? { warning } : null);

const CHECKS = {
  aboveTheQueueBound({ mostOpen, before: { queueBound } }) {
    if (queueBound === null) return { unchecked: 'whether the queue has room for all that is open' };
    return warnIf(
      mostOpen > queueBound,
      `Up to ${mostOpen} requests were open and the server takes ${queueBound}: what is measured is its refusals.`,
    );
  },
  aKeysLimit({ figures }) {
    const codes = Object.keys(figures.refused).filter((code) => !OWN_REFUSALS.has(code));
    const count = codes.reduce((sum, code) => sum + figures.refused[code]!, 0);
    return warnIf(
      count > 0,
      `${count} requests met a limit of the key (${codes.join(', ')}): what is measured is that limit.`,
    );
  },
  saturatedClient({ client: { loopDelayP99Ms, loopUtilization } }) {
    return warnIf(
      loopDelayP99Ms > LOOP_DELAY_MS || loopUtilization > LOOP_UTILIZATION,
      `The generator itself was busy (event loop late by ${loopDelayP99Ms.toFixed(0)} ms at p99, at work ${(loopUtilization * 100).toFixed(0)} % of the time): latencies hold its own delay.`,
    );
  },
  lateArrivals({ lateP99Ms, figures }) {
    return warnIf(
      lateP99Ms > Math.max(LATE_MS, LATE_SHARE * figures.endToEnd.p50),
      `Requests came up to ${lateP99Ms.toFixed(0)} ms (p99) after they were due, because the generator was late.`,
    );
  },
  coordinatedOmission({ heldBack, figures }) {
    return warnIf(
      heldBack > 0,
      `${heldBack} of ${figures.requests} requests were sent after they were due, because as many were open as --concurrency allows; end-to-end times count from when they were due, and hold that wait.`,
    );
  },
  tooFewSamples({ figures: { succeeded } }) {
    const told = [0.99, 0.95].find((share) => succeeded * (1 - share) < BEYOND - 1e-9);
    if (told === undefined) return null;
    const weak = succeeded * 0.05 < BEYOND - 1e-9 ? 'p95 and p99' : 'p99';
    return { warning: `${succeeded} successes are too few for ${weak}: fewer than ${BEYOND} lie beyond.` };
  },
  failures({ figures }) {
    const count = Object.values(figures.failed).reduce((sum, one) => sum + one, 0);
    return warnIf(count > 0, `${count} requests failed: times are those of the others.`);
  },
  overload({ offeredPerSecond, figures }) {
    const answered = figures.requestsPerSecond;
    return warnIf(
      offeredPerSecond !== null && answered < 0.9 * offeredPerSecond,
      `${answered.toFixed(2)} of ${offeredPerSecond?.toFixed(2)} requests a second were served: the queue grew, so times tell how long the experiment was rather than how long a request takes.`,
    );
  },
  restarted({ before, after }) {
    if (before.identity === null || after.identity === null) return { unchecked: 'whether the server was restarted' };
    return warnIf(
      before.identity !== after.identity,
      'The server was restarted meanwhile, or several answer at this address.',
    );
  },
  workersRestarted({ before, after }) {
    if (before.workers === null || after.workers === null) return { unchecked: 'whether a worker was restarted' };
    const pids = new Map(after.workers.map(({ id, pid }) => [id, pid]));
    const gone = before.workers.filter(({ id, pid }) => pids.get(id) !== pid).map(({ id }) => id);
    return warnIf(gone.length > 0, `Workers were restarted meanwhile or went away: ${gone.join(', ')}.`);
  },
  othersJobs({ before }) {
    if (before.openJobs === null) return { unchecked: 'whether the server had other jobs' };
    return warnIf(before.openJobs > 0, `The server had ${before.openJobs} jobs of others when the load began.`);
  },
  busyMachine({ foreignProcessors }) {
    if (foreignProcessors === null) return { unchecked: 'whether the machine had other work' };
    return warnIf(
      foreignProcessors > BUSY_ABOVE,
      `The machine was busy with other work (${foreignProcessors.toFixed(2)} processors): these figures are not to be quoted.`,
    );
  },
} satisfies Record<string, Check>;

export type CheckName = keyof typeof CHECKS;
