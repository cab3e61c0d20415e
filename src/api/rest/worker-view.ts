import type { NodeState } from '../../domain/placement/node-description.js';
import type { WorkerDescription, WorkerMemory } from '../../domain/placement/worker-description.js';
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
    memory: memoryView(memory),
    restarts,
    reason,
    versions,
  };
}

export function memoryView(memory: WorkerMemory | null): WorkerView['memory'] {
  if (memory === null) return null;
  const { totalBytes, freeBytes, allocatedBytes, reservedBytes } = memory;
  return {
    total_bytes: totalBytes,
    free_bytes: freeBytes,
    allocated_bytes: allocatedBytes,
    reserved_bytes: reservedBytes,
  };
}

/** Ready while the node takes jobs and one worker takes attempts, which it does only while its engine loop advances. */
export function readinessView(node: NodeState, workers: readonly WorkerDescription[]): ReadinessView {
  const views = workers.map(({ id, device, state, reason }) => ({
    id,
    device: device.id,
    state,
    ready: takesAttempts(state),
    reason: takesAttempts(state) ? null : (reason ?? `it is ${state}`),
  }));
  return { ready: node === 'serving' && views.some(({ ready }) => ready), node, workers: views };
}
