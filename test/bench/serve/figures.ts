import { quantile } from '../support/statistics.js';
import type { Sample } from './load.js';

/** Milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** What a load came to. Times in milliseconds, of successes only. */
export interface LoadFigures {
  readonly requests: number;
  readonly succeeded: number;
  /** 429, by the server's word. */
  readonly refused: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
  /** From the first request's due time to the last answer. */
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly imagesPerSecond: number;
  /** From when a request was due to when its answer was read. */
  readonly endToEnd: Percentiles;
  /** The same from when it was sent; less than `endToEnd` by what the generator held it back. */
  readonly sinceSent: Percentiles;
  /** Null: the dialect does not tell. */
  readonly queue: Percentiles | null;
  readonly entries: readonly EntryFigures[];
}

export interface EntryFigures {
  readonly name: string;
  readonly succeeded: number;
  readonly endToEnd: Percentiles;
}

/** `samples` holds one at least. */
export function figuresOf(samples: readonly Sample[]): LoadFigures {
  const succeeded = samples.filter(({ exchange }) => exchange.outcome === 'succeeded');
  const first = samples.reduce((least, { request }) => Math.min(least, request.dueMs), Infinity);
  const last = samples.reduce((most, { endedMs }) => Math.max(most, endedMs), 0);
  const seconds = (last - first) / 1000;
  const images = succeeded.reduce((sum, { request }) => sum + request.drawing.images, 0);
  const queue = succeeded.flatMap(({ exchange }) => (exchange.queueMs === null ? [] : [exchange.queueMs]));
  const byEntry = Object.groupBy(succeeded, ({ request }) => request.entry.name);
  return {
    requests: samples.length,
    succeeded: succeeded.length,
    refused: reasons(samples, 'refused'),
    failed: reasons(samples, 'failed'),
    seconds,
    requestsPerSecond: succeeded.length / seconds,
    imagesPerSecond: images / seconds,
    endToEnd: percentiles(succeeded.map(endToEndMs)),
    sinceSent: percentiles(succeeded.map(({ sentMs, endedMs }) => endedMs - sentMs)),
    queue: queue.length === 0 ? null : percentiles(queue),
    entries: Object.entries(byEntry).map(([name, some]) => ({
      name,
      succeeded: some!.length,
      endToEnd: percentiles(some!.map(endToEndMs)),
    })),
  };
}

/** From the due time: a server, or a bound, that holds up the sender cannot make the figure look better. */
const endToEndMs = ({ request, endedMs }: Sample) => endedMs - request.dueMs;

export function percentiles(values: readonly number[]): Percentiles {
  return { p50: quantile(values, 0.5), p95: quantile(values, 0.95), p99: quantile(values, 0.99) };
}

function reasons(samples: readonly Sample[], outcome: 'refused' | 'failed'): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { exchange } of samples) {
    const reason = exchange.reason ?? 'unknown';
    if (exchange.outcome === outcome) counts[reason] = (counts[reason] ?? 0) + 1;
  }
  return counts;
}
