import type { Logger } from 'pino';

/** A request that is over, as it was seen from outside. */
export interface RequestFacts {
  readonly requestId: string;
  readonly method: string;
  /** Without its query, which may hold signatures and prompts. */
  readonly path: string;
  /** Pattern of the route; null: nothing is served there. */
  readonly route: string | null;
  /** 499 when the client went away before there was one. */
  readonly status: number;
  readonly ms: number;
  /** Of the answer, headers included. */
  readonly bytes: number;
  /** Who sent it; null: nobody in particular. */
  readonly client: string | null;
  /** The job it was about; null: none, or several. */
  readonly job: string | null;
  /** Null: it is not traced. */
  readonly traceId: string | null;
  /** False: the connection closed before the answer was whole, as is usual for event streams. */
  readonly isWhole: boolean;
}

/** Routes that programs ask every few seconds. */
const PROBES = /^\/(?:health(?:\/|$)|metrics$)/;

const JOB_PATH = /^\/v1\/jobs\/([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})(?:\/|$)/;

/** Longest path that is logged. */
const MAX_PATH_CHARS = 200;

/** One line a request, when it is over. */
export function logRequest(log: Logger, facts: RequestFacts): void {
  const level = facts.status >= 500 ? 'warn' : isProbe(facts.path) ? 'debug' : 'info';
  if (!log.isLevelEnabled(level)) return;
  const { requestId, method, path, route, status, ms, bytes, client, job, traceId, isWhole } = facts;
  log[level](
    {
      request: requestId,
      method,
      path: path.slice(0, MAX_PATH_CHARS),
      route,
      status,
      ms: Math.round(ms * 10) / 10,
      bytes,
      ...(client === null ? {} : { client }),
      ...(job === null ? {} : { job }),
      ...(traceId === null ? {} : { trace: traceId }),
      ...(isWhole ? {} : { closed_early: true }),
    },
    'request',
  );
}

/** Id of the job whose address it is; null: it is none of a job. */
export function jobInPath(path: string): string | null {
  return JOB_PATH.exec(path)?.[1] ?? null;
}

export function isProbe(path: string): boolean {
  return PROBES.test(path);
}
