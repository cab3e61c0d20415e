import type { SystemSnapshot } from '../support/system-snapshot.js';
import type { HttpAnswer, HttpCalls } from './http-calls.js';
import { jsonOf } from './http-calls.js';

const ANSWER_LIMIT_MS = 10_000;

/** What a server says of itself; null: it does not say, or not to this key. */
export interface ServerFacts {
  /** New whenever its process starts. */
  readonly identity: string | null;
  /** Jobs that are scheduled, queued or running. */
  readonly openJobs: number | null;
  /** Jobs that may wait and run at a time. */
  readonly queueBound: number | null;
  /** Its workers, each with the process it is. */
  readonly workers: readonly WorkerFacts[] | null;
  readonly system: SystemSnapshot | null;
}

export interface WorkerFacts {
  readonly id: string;
  readonly pid: number | null;
}

/** Asks Safelight's own routes; a server that is something else answers none of them, and all is unknown. */
export async function askServer(calls: HttpCalls): Promise<ServerFacts> {
  const [metrics, workers, described] = await Promise.all(
    ['/metrics', '/v1/workers', '/v1/system'].map((path) => ask(calls, path)),
  );
  const text = metrics?.body.toString() ?? '';
  const counts = ['scheduled', 'queued', 'running'].map((state) => metricOf(text, `safelight_jobs{state="${state}"}`));
  const system = jsonOrNull(described) as DescribedServer | null;
  const list = jsonOrNull(workers) as { readonly data: readonly WorkerFacts[] } | null;
  return {
    identity: system?.node.id ?? metricOf(text, 'safelight_process_start_time_seconds')?.toString() ?? null,
    openJobs: sumOrNull(counts),
    queueBound: system === null ? null : queueBoundOf(system),
    workers: list?.data.map(({ id, pid }) => ({ id, pid })) ?? null,
    system,
  };
}

interface DescribedServer extends SystemSnapshot {
  readonly node: SystemSnapshot['node'] & { readonly id: string };
  readonly settings: {
    readonly queue: { readonly max_waiting: number };
    readonly workers: { readonly permits: number };
  };
}

function queueBoundOf({ settings, workers }: DescribedServer): number {
  return settings.queue.max_waiting + settings.workers.permits * workers.length;
}

const jsonOrNull = (answer: HttpAnswer | null | undefined) => (answer == null ? null : jsonOf(answer));

/** The value of a line of Prometheus' text format. */
export function metricOf(text: string, series: string): number | null {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? null : Number(line.slice(series.length + 1).split(' ', 1)[0]);
}

function sumOrNull(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((sum, value) => (sum === null || value === null ? null : sum + value), 0);
}

async function ask(calls: HttpCalls, path: string): Promise<HttpAnswer | null> {
  try {
    const answer = await calls.send({ method: 'GET', path, silenceMs: ANSWER_LIMIT_MS });
    return answer.status === 200 ? answer : null;
  } catch {
    // What it does not tell is told as unknown; that it cannot draw either shows in the load.
    return null;
  }
}
