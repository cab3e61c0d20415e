import type { Registry } from 'prom-client';

import { JOB_STATES } from '../domain/job/job-state.js';
import { PRIORITIES } from '../domain/job/priority.js';
import type { Clock } from '../jobs/ports/clock.port.js';
import type { DeliveryStore } from '../jobs/ports/delivery-store.port.js';
import type { JobStore, WaitingClass } from '../jobs/ports/job-store.port.js';
import { gauge } from './make-metric.js';

const WAITING_STATES = ['scheduled', 'queued'] as const;

export interface QueueSources {
  readonly store: JobStore;
  readonly deliveries: DeliveryStore;
  readonly clock: Clock;
}

/** What waits, read from the database at the moment of asking. */
export function queueMetrics(registry: Registry, { store, deliveries, clock }: QueueSources): void {
  gauge(registry, 'safelight_jobs', async (jobs) => {
    const counts = await store.countByState();
    for (const state of JOB_STATES) jobs.set({ state }, counts[state]);
  });
  const find = (classes: readonly WaitingClass[], state: string, priority: string) =>
    classes.find((each) => each.state === state && each.priority === priority);
  gauge(registry, 'safelight_queue_jobs', async (jobs) => {
    const classes = await store.countWaiting();
    for (const state of WAITING_STATES) {
      for (const priority of PRIORITIES) jobs.set({ state, priority }, find(classes, state, priority)?.jobs ?? 0);
    }
  });
  gauge(registry, 'safelight_queue_oldest_seconds', async (oldest) => {
    const classes = await store.countWaiting();
    const now = clock.now();
    for (const priority of PRIORITIES) {
      const since = find(classes, 'queued', priority)?.oldestAt ?? now;
      oldest.set({ priority }, Math.max(0, now - since) / 1000);
    }
  });
  gauge(registry, 'safelight_webhooks_pending', async (pending) => pending.set(await deliveries.countPending()));
}
