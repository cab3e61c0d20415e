import type { GenerationRequest } from '../../domain/generation/generation-request.js';
import { admit } from '../../domain/job/admission.js';
import { sortAt } from '../../domain/job/priority.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import { takesAttempts } from '../../domain/placement/worker-state.js';
import type { JobStore } from '../ports/job-store.port.js';
import type { FieldProblem } from './generation-input.js';

/** Why requests with deadlines are not taken: each that could not be met is named. */
export interface DeadlineRefusal {
  /** `no_worker`: none takes work, and none is likely back in time. */
  readonly outcome: 'deadline_infeasible' | 'no_worker';
  readonly problems: readonly FieldProblem[];
  readonly retryAfterSeconds: number;
}

interface Circumstances {
  readonly store: Pick<JobStore, 'countAhead' | 'countFinishedSince'>;
  readonly workers: { list(): Promise<readonly WorkerDescription[]> };
  readonly now: number;
  /** What stands before the fields of the request at this place when they are named. */
  readonly prefixOf: (index: number) => string;
}

/** A worker that was killed takes work again in about this time: its process starts and loads a model. */
const WORKER_BACK_MS = 10_000;

const MINUTE_MS = 60_000;

const FIELD_VERBS = { start_by: 'it would begin', finish_by: 'it would end' };

type DeadlineField = 'start_by' | 'finish_by';

/** Whether jobs submitted now, in this order, can make their deadlines; null: they can, as far as it is known. */
export async function checkDeadlines(
  requests: readonly GenerationRequest[],
  circumstances: Circumstances,
): Promise<DeadlineRefusal | null> {
  if (requests.every(({ start_by, finish_by }) => start_by === null && finish_by === null)) return null;
  const { store, workers, now, prefixOf } = circumstances;
  if (!(await workers.list()).some(({ state }) => takesAttempts(state))) return withoutWorkers(requests, circumstances);
  const finishedLastMinute = await store.countFinishedSince(now - MINUTE_MS);
  const places = new Set(requests.map(({ priority }) => sortAt(priority, now)));
  const waiting = new Map(await Promise.all([...places].map(async (at) => [at, await store.countAhead(at)] as const)));
  const problems: FieldProblem[] = [];
  let retryAfterSeconds = 0;
  for (const [index, request] of requests.entries()) {
    const { start_by: startBy, finish_by: finishBy, priority } = request;
    if (startBy === null && finishBy === null) continue;
    const at = sortAt(priority, now);
    const ahead = (waiting.get(at) ?? 0) + requests.filter(precedes(at, index, now)).length;
    // How long a job like it takes is not measured: the wait before it alone decides.
    const admission = admit({ ahead, finishedLastMinute, expectedMs: null, startBy, finishBy, now });
    if (admission.ok) continue;
    const { field, expectedAt } = admission;
    const message = `${FIELD_VERBS[field]} later than that, behind the jobs that wait`;
    problems.push(problem(prefixOf(index), field, request[field], message, { expected_at: timeText(expectedAt) }));
    retryAfterSeconds = Math.max(retryAfterSeconds, admission.retryAfterSeconds);
  }
  return problems.length === 0 ? null : { outcome: 'deadline_infeasible', problems, retryAfterSeconds };
}

function withoutWorkers(
  requests: readonly GenerationRequest[],
  { now, prefixOf }: Pick<Circumstances, 'now' | 'prefixOf'>,
): DeadlineRefusal | null {
  const backAt = now + WORKER_BACK_MS;
  const limit = { after: timeText(backAt) };
  const problems = requests.flatMap((request, index) =>
    (['start_by', 'finish_by'] as const)
      .filter((field) => request[field] !== null && request[field] <= backAt)
      .map((field) => problem(prefixOf(index), field, request[field], 'no worker takes work by then', limit)),
  );
  return problems.length === 0 ? null : { outcome: 'no_worker', problems, retryAfterSeconds: WORKER_BACK_MS / 1000 };
}

/** Whether another of the requests runs before the one at this place in the order. */
function precedes(at: number, index: number, now: number) {
  return ({ priority }: GenerationRequest, other: number): boolean => {
    const otherAt = sortAt(priority, now);
    return otherAt < at || (otherAt === at && other < index);
  };
}

function problem(
  prefix: string,
  field: DeadlineField,
  deadline: number | null,
  message: string,
  limit: Readonly<Record<string, string>>,
): FieldProblem {
  return { field: prefix + field, message, value: deadline === null ? null : timeText(deadline), limit };
}

function timeText(at: number): string {
  return new Date(at).toISOString();
}
