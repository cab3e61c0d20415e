/** States of a worker process. `defunct`: it died or was killed and waits for its replacement. */
export const WORKER_STATES = ['starting', 'ready', 'busy', 'draining', 'stopped', 'defunct'] as const;
export type WorkerState = (typeof WORKER_STATES)[number];

const TRANSITIONS: Record<WorkerState, readonly WorkerState[]> = {
  starting: ['ready', 'defunct', 'draining', 'stopped'],
  ready: ['busy', 'draining', 'defunct', 'stopped'],
  busy: ['ready', 'draining', 'defunct', 'stopped'],
  draining: ['stopped', 'defunct'],
  defunct: ['starting', 'stopped'],
  // Only one that was drained.
  stopped: ['starting'],
};

export function canWorkerMove(from: WorkerState, to: WorkerState): boolean {
  return TRANSITIONS[from].includes(to);
}

/** Whether a worker in this state takes attempts. */
export function takesAttempts(state: WorkerState): boolean {
  return state === 'ready' || state === 'busy';
}
