import type { AttemptEvent, ReadyWorker } from '../../src/dispatch/ports/worker-pool.port.js';
import { WorkerPool } from '../../src/dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import type { Device } from '../../src/domain/placement/device.js';

/** How a scripted worker plays an attempt. */
export type Script = (plan: ExecutionPlan, signal: AbortSignal) => AsyncIterable<AttemptEvent>;

/** A worker that plays a script: for what the dispatcher does with events, where no picture is wanted. */
export class ScriptedWorker implements ReadyWorker {
  readonly device: Device;
  readonly plans: ExecutionPlan[] = [];
  readonly previews: [string, number][] = [];
  warmModels: readonly string[] = [];

  constructor(
    readonly id: string,
    private readonly script: Script,
  ) {
    this.device = { id: `${id}:0`, kind: 'cpu', name: id };
  }

  run(plan: ExecutionPlan, signal: AbortSignal): AsyncIterable<AttemptEvent> {
    this.plans.push(plan);
    return this.script(plan, signal);
  }

  setPreviews(attemptId: string, intervalMs: number): Promise<void> {
    this.previews.push([attemptId, intervalMs]);
    return Promise.resolve();
  }
}

export class ScriptedPool extends WorkerPool {
  private readonly listeners = new Set<() => void>();

  constructor(private workers: readonly ReadyWorker[]) {
    super();
  }

  ready(): readonly ReadyWorker[] {
    return this.workers;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  become(workers: readonly ReadyWorker[]): void {
    this.workers = workers;
    for (const listener of this.listeners) listener();
  }
}

/** An attempt that reports one phase and then waits for the gate, or ends as cancelled when it is told to stop. */
export function waitsFor(gate: Promise<unknown>, end: AttemptEvent): Script {
  return async function* (_plan, signal) {
    yield { type: 'accepted' };
    yield { type: 'phase', phase: 'denoise' };
    const stopped = new Promise<'stopped'>((resolve) => {
      signal.addEventListener('abort', () => resolve('stopped'));
      if (signal.aborted) resolve('stopped');
    });
    const why = await Promise.race([gate.then(() => 'gate' as const), stopped]);
    yield why === 'gate' ? end : { type: 'cancelled' };
  };
}
