import type { Registry } from 'prom-client';

import { NODE_STATES } from '../domain/placement/node-description.js';
import { WORKER_STATES } from '../domain/placement/worker-state.js';
import type { Drains } from '../jobs/ports/drains.port.js';
import type { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';
import { counter, gauge } from './make-metric.js';

/** How this node, its workers and their devices stand at the moment of asking. */
export function workerMetrics(registry: Registry, workers: WorkerInventory, drains: Drains): void {
  gauge(registry, 'safelight_node_state', (states) => {
    const current = drains.nodeState();
    for (const state of NODE_STATES) states.set({ state }, state === current ? 1 : 0);
  });
  gauge(registry, 'safelight_workers', (counts) => {
    const states = workers.list().map(({ state }) => state);
    for (const state of WORKER_STATES) counts.set({ state }, states.filter((found) => found === state).length);
  });
  counter(registry, 'safelight_worker_restarts_total', (restarts) => {
    for (const { id: worker, restarts: times } of workers.list()) restarts.inc({ worker }, times);
  });
  gauge(registry, 'safelight_attempts_in_flight', (attempts) => {
    for (const { id: worker, device, running } of workers.list()) attempts.set({ worker, device: device.id }, running);
  });
  gauge(registry, 'safelight_model_loaded', (loaded) => {
    for (const { device, models } of workers.list()) {
      for (const model of models) loaded.set({ model, device: device.id }, 1);
    }
  });
  gauge(registry, 'safelight_device_memory_bytes', (bytes) => {
    for (const { device, memory } of workers.list()) {
      if (memory === null) continue;
      bytes.set({ device: device.id, kind: 'total' }, memory.totalBytes);
      bytes.set({ device: device.id, kind: 'free' }, memory.freeBytes);
      bytes.set({ device: device.id, kind: 'allocated' }, memory.allocatedBytes);
      bytes.set({ device: device.id, kind: 'reserved' }, memory.reservedBytes);
    }
  });
}
