import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import { takesAttempts } from '../../domain/placement/worker-state.js';
import type { ReadinessView, WorkerView } from './dto/worker-schemas.js';

/** A worker in the words of the API. */
export function workerView(worker: WorkerDescription): WorkerView {
  const { id, node, device, state, pid, models, running, memory, restarts, reason, versions } = worker;
  return {
    id,
    node,
    device: device.id,
    device_name: device.name,
    state,
    pid,
    models: [...models],
    running,
    memory: memory && {
      total_bytes: memory.totalBytes,
      free_bytes: memory.freeBytes,
      allocated_bytes: memory.allocatedBytes,
      reserved_bytes: memory.reservedBytes,
    },
    restarts,
    reason,
    versions,
  };
}

/** Ready while one worker takes attempts, which it does only while its engine loop advances. */
export function readinessView(workers: readonly WorkerDescription[]): ReadinessView {
  const views = workers.map(({ id, device, state, reason }) => ({
    id,
    device: device.id,
    state,
    ready: takesAttempts(state),
    reason: takesAttempts(state) ? null : (reason ?? `it is ${state}`),
  }));
  return { ready: views.some(({ ready }) => ready), workers: views };
}
