import type { Device } from './device.js';
import type { WorkerState } from './worker-state.js';

/** A worker as it stands. */
export interface WorkerDescription {
  readonly id: string;
  readonly node: string;
  readonly device: Device;
  readonly state: WorkerState;
  /** Null while no process lives. */
  readonly pid: number | null;
  /** Ids of the models on the device. */
  readonly models: readonly string[];
  /** Attempts in flight. */
  readonly running: number;
  readonly memory: WorkerMemory | null;
  readonly restarts: number;
  /** Why it takes no attempts; null when it does. */
  readonly reason: string | null;
  /** Versions of everything in it that shapes a picture; null before it told. */
  readonly versions: Readonly<Record<string, string>> | null;
}

export interface WorkerMemory {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly allocatedBytes: number;
  readonly reservedBytes: number;
}
