import type { WorkerDescription, WorkerMemory } from '../../../domain/placement/worker-description.js';
import type { Memory, Worker } from '../../../gen/safelight/v1/safelight.pb.js';

/** A worker in the words of the wire. */
export function workerMessage(worker: WorkerDescription): Worker {
  const { id, node, device, state, pid, models, running, memory, restarts, reason, versions } = worker;
  return {
    id,
    node,
    device: device.id,
    deviceName: device.name,
    state,
    pid: pid ?? 0,
    models: [...models],
    running,
    memory: memoryMessage(memory),
    restarts,
    reason: reason ?? '',
    versions: { ...versions },
  };
}

export function memoryMessage(memory: WorkerMemory | null): Memory | undefined {
  if (memory === null) return undefined;
  const { totalBytes, freeBytes, allocatedBytes, reservedBytes } = memory;
  return {
    totalBytes: String(totalBytes),
    freeBytes: String(freeBytes),
    reservedBytes: String(reservedBytes),
    allocatedBytes: String(allocatedBytes),
  };
}
