import { setTimeout as delay } from 'node:timers/promises';

import type { ApiClient } from '../client/api-client.js';
import type { WorkerJson } from '../client/wire.js';
import type { ProgressDisplay } from './progress-display.js';

/** Place in line and state of the workers are in no event: they are asked for at this pace. */
const POLL_MS = 1000;
const TAKES_WORK = ['ready', 'busy'];

interface WaitingFacts {
  readonly client: ApiClient;
  readonly jobId: string;
  readonly display: ProgressDisplay;
  readonly signal: AbortSignal;
  /** Told of the workers at every look. */
  readonly onLook: (workers: readonly WorkerJson[]) => void;
}

/** Tells why a job does not run yet, for as long as it does not. */
export class WaitingView {
  private running: AbortController | null = null;

  constructor(private readonly facts: WaitingFacts) {}

  start(): void {
    if (this.running !== null) return;
    this.running = new AbortController();
    void this.poll(AbortSignal.any([this.facts.signal, this.running.signal]));
  }

  /** Safe to call twice. */
  stop(): void {
    this.running?.abort();
    this.running = null;
  }

  private async poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // Only what is shown depends on this; that the server has gone is found, and told, by the event stream.
      await this.look(signal).catch(() => undefined);
      await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  private async look(signal: AbortSignal): Promise<void> {
    const { client, jobId, display, onLook } = this.facts;
    const [job, workers] = await Promise.all([client.job(jobId, signal), client.workers(signal)]);
    if (signal.aborted || (job.state !== 'queued' && job.state !== 'scheduled')) return;
    const { queue_position: position, waiting_for: waitingFor } = job;
    display.show({ stage: 'waiting', position, waitingFor, worker: workerText(workers) });
    onLook(workers);
  }
}

/** Whether one of the workers takes work. */
export function someTakesWork(workers: readonly WorkerJson[]): boolean {
  return workers.some(({ state }) => TAKES_WORK.includes(state));
}

/** Why no worker takes work; null when one does. */
export function workerText(workers: readonly WorkerJson[]): string | null {
  const [first] = workers;
  if (first === undefined || someTakesWork(workers)) return null;
  const what = first.state === 'starting' ? 'starting the worker' : `the worker is ${first.state}`;
  return first.reason === null || first.reason === first.state ? what : `${what}: ${first.reason}`;
}
