import type { Priority } from '../job/priority.js';
import { priorityRank } from '../job/priority.js';

/** An attempt that has a permit. */
export interface RunningAttempt {
  readonly attemptId: string;
  readonly jobId: string;
  /** Id of its worker. */
  readonly worker: string;
  readonly priority: Priority;
  /** Place of its job in the order. */
  readonly sortAt: number;
  /** Epoch milliseconds. */
  readonly startedAt: number;
}

/**
 * The attempt to take off its device for a job that is more urgent: of the least urgent class, and of these the last in the
 * order. Null: none is less urgent.
 */
export function choosePreempted(
  running: readonly RunningAttempt[],
  urgent: { readonly request: { readonly priority: Priority } },
): RunningAttempt | null {
  const rank = priorityRank(urgent.request.priority);
  const [last] = running
    .filter(({ priority }) => priorityRank(priority) > rank)
    .toSorted((a, b) => priorityRank(b.priority) - priorityRank(a.priority) || b.sortAt - a.sortAt);
  return last ?? null;
}
