import { median, quantile } from '../support/statistics.js';
import type { SystemSnapshot } from '../support/system-snapshot.js';
import { latencyAlone, latencyAtRate, latencyStreamed } from './latency.js';
import type { StoreKind } from './null-server.js';
import { NullServer } from './null-server.js';
import type { QueuedFigures } from './queued.js';
import { measureQueued } from './queued.js';
import { jobsPerSecond } from './throughput.js';

/** Requests a second at which latency is told beside a lone caller. */
export const MODERATE_RATE = 100;

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

/** Medians of the repeats; times in milliseconds. */
export interface Figures extends QueuedFigures {
  readonly alone: Percentiles;
  readonly atRate: Percentiles;
  readonly streamed: Percentiles;
  readonly perSecond16: number;
  readonly perSecond64: number;
  /** Of the server that was measured. */
  readonly system: SystemSnapshot;
}

/** `quick` only shows that it runs. */
export async function measure(store: StoreKind, quick: boolean, tell: (line: string) => void): Promise<Figures> {
  const repeats = quick ? 1 : 3;
  const calls = quick ? 100 : 1000;
  const seconds = quick ? 2 : 10;
  const server = await NullServer.start(store);
  const alone: Percentiles[] = [];
  const atRate: Percentiles[] = [];
  const streamed: Percentiles[] = [];
  const perSecond16: number[] = [];
  const perSecond64: number[] = [];
  let system: SystemSnapshot;
  try {
    system = await server.systemSnapshot();
    for (let repeat = 1; repeat <= repeats; repeat += 1) {
      tell(`${store}: latency, ${repeat} of ${repeats}`);
      alone.push(percentiles(await latencyAlone(server, calls)));
      atRate.push(percentiles(await latencyAtRate(server, calls, MODERATE_RATE)));
      streamed.push(percentiles(await latencyStreamed(server, calls)));
      tell(`${store}: jobs a second, ${repeat} of ${repeats}`);
      perSecond16.push(await jobsPerSecond(server, 16, seconds));
      perSecond64.push(await jobsPerSecond(server, 64, seconds));
    }
  } finally {
    await server.remove();
  }
  tell(`${store}: with many queued`);
  const queued = await measureQueued(store, quick ? 1000 : 10_000, calls);
  return {
    alone: middle(alone),
    atRate: middle(atRate),
    streamed: middle(streamed),
    perSecond16: median(perSecond16),
    perSecond64: median(perSecond64),
    system,
    ...queued,
  };
}

const percentiles = (times: readonly number[]) => ({ p50: quantile(times, 0.5), p99: quantile(times, 0.99) });

const middle = (repeats: readonly Percentiles[]) => ({
  p50: median(repeats.map(({ p50 }) => p50)),
  p99: median(repeats.map(({ p99 }) => p99)),
});
