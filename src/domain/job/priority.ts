/** Priority classes, most urgent first; the position is what the store and the worker keep. */
export const PRIORITIES = ['urgent', 'high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

/**
 * How long, in milliseconds, a job of each class waits before it passes a job of class `urgent` submitted now.
 *
 * Jobs run in order of `sortAt = createdAt + offset`. Comparing two jobs by "class plus age" does not depend on the
 * current time, so the key is static: strict priority inside the offsets, first in first out inside a class, and nobody
 * starves. A retry keeps its place.
 */
const AGEING_OFFSET_MS: Record<Priority, number> = {
  urgent: 0,
  high: 2 * 60_000,
  normal: 10 * 60_000,
  low: 40 * 60_000,
};

export function priorityRank(priority: Priority): number {
  return PRIORITIES.indexOf(priority);
}

/** The key jobs are claimed by, in epoch milliseconds; lower runs first. */
export function sortAt(priority: Priority, createdAt: number): number {
  return createdAt + AGEING_OFFSET_MS[priority];
}

/** When a job with this key was submitted, in epoch milliseconds. */
export function submittedAt(priority: Priority, sortKey: number): number {
  return sortKey - AGEING_OFFSET_MS[priority];
}
