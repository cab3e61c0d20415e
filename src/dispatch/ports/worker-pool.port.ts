import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { Effective } from '../../domain/job/job.js';
import type { Checkpoint, Failure } from '../../domain/failure/failure.js';
import type { Phase, PhaseTiming } from '../../domain/job/phase.js';
import type { Device } from '../../domain/placement/device.js';
import type { ModelFootprint } from '../../domain/placement/footprint.js';
import type { WorkerMemory } from '../../domain/placement/worker-description.js';

/** A file the worker left in the attempt's staging folder. */
export interface StagedArtifact {
  readonly index: number;
  readonly fileName: string;
  readonly mediaType: string;
  readonly width: number;
  readonly height: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly seed: string;
}

/**
 * What a worker tells about an attempt. The last event is one of `result`, `failed`, `cancelled`, `suspended`; there is
 * exactly one.
 */
export type AttemptEvent =
  | { readonly type: 'accepted' }
  | { readonly type: 'phase'; readonly phase: Phase }
  | { readonly type: 'step'; readonly step: number; readonly steps: number }
  | { readonly type: 'preview'; readonly step: number; readonly mediaType: string; readonly data: Uint8Array }
  | {
      readonly type: 'result';
      readonly artifacts: readonly StagedArtifact[];
      readonly phases: readonly PhaseTiming[];
      readonly effective: Effective;
    }
  | { readonly type: 'failed'; readonly failure: Failure }
  | { readonly type: 'cancelled' }
  /** It replaces the checkpoint before. */
  | { readonly type: 'checkpoint'; readonly checkpoint: Checkpoint }
  /** Taken off the device on request; null: it had not begun to denoise. */
  | { readonly type: 'suspended'; readonly checkpoint: Checkpoint | null };

export type TerminalEvent = Extract<AttemptEvent, { type: 'result' | 'failed' | 'cancelled' | 'suspended' }>;

/** Whether nothing follows. */
export function isTerminal(event: AttemptEvent): event is TerminalEvent {
  return ['result', 'failed', 'cancelled', 'suspended'].includes(event.type);
}

/** One worker that can take attempts now. */
export interface ReadyWorker {
  readonly id: string;
  readonly device: Device;
  /** Name of the node and id of the worker, `<node name>/<worker id>`. */
  readonly qualifiedId: string;
  /** Models already on its device. */
  readonly warmModels: readonly string[];
  /** Bytes its models and forwards may take together; null while it has not told. */
  readonly budgetBytes: number | null;
  /** As it last told. */
  readonly memory: WorkerMemory | null;
  /**
   * Runs one attempt. Never throws for a failed attempt: process loss, hang and protocol errors arrive as `failed` too.
   * Aborting the signal cancels the attempt; the stream still ends with its terminal event, in bounded time.
   */
  run(plan: ExecutionPlan, signal: AbortSignal): AsyncIterable<AttemptEvent>;
  /**
   * Takes a running attempt off the device at its next tick: it ends with `suspended`. False: the worker does not have it,
   * or cannot be asked. Never throws.
   */
  suspend(attemptId: string): Promise<boolean>;
  /** Turns preview frames of a running attempt on (milliseconds between frames) or off (0). Never throws. */
  setPreviews(attemptId: string, intervalMs: number): Promise<void>;
}

/** The worker processes of this node. */
export abstract class WorkerPool {
  /** Workers that can take attempts now. */
  abstract ready(): readonly ReadyWorker[];
  /** Has a worker, or all of them, take no more attempts; those in flight go on. An unknown id does nothing. */
  abstract drain(id?: string): void;
  /**
   * Ends the process of a worker, by force when it does not go in time, and leaves it `stopped`; attempts in flight are given
   * back. Resolves when it is gone; safe to call twice. An unknown id does nothing.
   */
  abstract stopWorker(id: string): Promise<void>;
  /** Starts a worker that is `stopped`. False: there is none of that id that is. */
  abstract startWorker(id: string): boolean;
  /** Calls back with what a worker found out about the memory a model takes; returns how to stop. */
  abstract onFootprint(listener: (footprint: Omit<ModelFootprint, 'overruns'>) => void): () => void;
  /** Calls back when a worker becomes ready, stops being so, or changes its models; returns how to stop. */
  abstract onChange(listener: () => void): () => void;
}
