import type { AttemptEvent, ReadyWorker } from '../../src/dispatch/ports/worker-pool.port.js';
import { WorkerPool } from '../../src/dispatch/ports/worker-pool.port.js';
import type { Checkpoint } from '../../src/domain/failure/failure.js';
import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import type { Device } from '../../src/domain/placement/device.js';
import type { ModelFootprint } from '../../src/domain/placement/footprint.js';
import type { WorkerDescription, WorkerMemory } from '../../src/domain/placement/worker-description.js';
import type { WorkerState } from '../../src/domain/placement/worker-state.js';
import type { WorkerInventory } from '../../src/jobs/ports/worker-inventory.port.js';

/** How a scripted worker plays an attempt. `suspended` is aborted when it is asked to leave the device. */
export type Script = (plan: ExecutionPlan, signal: AbortSignal, suspended: AbortSignal) => AsyncIterable<AttemptEvent>;

type MeasuredFootprint = Omit<ModelFootprint, 'overruns'>;

/** A worker that plays a script: for what the dispatcher does with events, where no picture is wanted. */
export class ScriptedWorker implements ReadyWorker {
  readonly device: Device;
  readonly plans: ExecutionPlan[] = [];
  readonly previews: [string, number][] = [];
  warmModels: readonly string[] = [];
  budgetBytes: number | null = null;
  memory: WorkerMemory | null = null;
  /** False: it refuses to suspend. */
  suspends = true;
  state: WorkerState = 'ready';
  private readonly running = new Map<string, AbortController>();

  constructor(
    readonly id: string,
    private readonly script: Script,
    private readonly node = 'here',
  ) {
    this.device = { id: `${id}:0`, kind: 'cpu', name: id };
  }

  get qualifiedId(): string {
    return `${this.node}/${this.id}`;
  }

  async *run(plan: ExecutionPlan, signal: AbortSignal): AsyncGenerator<AttemptEvent> {
    this.plans.push(plan);
    const suspended = new AbortController();
    this.running.set(plan.attemptId, suspended);
    try {
      yield* this.script(plan, signal, suspended.signal);
    } finally {
      this.running.delete(plan.attemptId);
    }
  }

  suspend(attemptId: string): Promise<boolean> {
    const running = this.running.get(attemptId);
    if (running === undefined || !this.suspends) return Promise.resolve(false);
    running.abort();
    return Promise.resolve(true);
  }

  setPreviews(attemptId: string, intervalMs: number): Promise<void> {
    this.previews.push([attemptId, intervalMs]);
    return Promise.resolve();
  }

  describe(): WorkerDescription {
    return {
      id: this.id,
      node: this.node,
      device: this.device,
      state: this.state,
      pid: 4711,
      models: this.warmModels,
      running: this.running.size,
      memory: this.memory,
      restarts: 0,
      reason: null,
      versions: null,
    };
  }
}

export class ScriptedPool extends WorkerPool implements WorkerInventory {
  private readonly listeners = new Set<() => void>();
  private readonly footprintListeners = new Set<(footprint: MeasuredFootprint) => void>();

  constructor(private workers: readonly ScriptedWorker[]) {
    super();
  }

  ready(): readonly ScriptedWorker[] {
    return this.workers.filter(({ state }) => state === 'ready');
  }

  list(): readonly WorkerDescription[] {
    return this.workers.map((worker) => worker.describe());
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onFootprint(listener: (footprint: MeasuredFootprint) => void): () => void {
    this.footprintListeners.add(listener);
    return () => this.footprintListeners.delete(listener);
  }

  drain(id: string): void {
    this.move(id, 'draining');
  }

  stopWorker(id: string): Promise<void> {
    this.move(id, 'stopped');
    return Promise.resolve();
  }

  startWorker(id: string): boolean {
    const isStopped = this.workers.some((worker) => worker.id === id && worker.state === 'stopped');
    if (isStopped) this.move(id, 'ready');
    return isStopped;
  }

  become(workers: readonly ScriptedWorker[]): void {
    this.workers = workers;
    this.tellChange();
  }

  /** As if a worker had measured this. */
  measure(footprint: MeasuredFootprint): void {
    for (const listener of this.footprintListeners) listener(footprint);
  }

  private move(id: string, state: WorkerState): void {
    for (const worker of this.workers) if (worker.id === id) worker.state = state;
    this.tellChange();
  }

  private tellChange(): void {
    for (const listener of this.listeners) listener();
  }
}

/** Resolves with what is aborted first; never, when nothing is. */
export function firstAborted<T extends string>(signals: Readonly<Record<T, AbortSignal>>): Promise<T> {
  return new Promise((resolve) => {
    for (const [name, signal] of Object.entries<AbortSignal>(signals)) {
      signal.addEventListener('abort', () => resolve(name as T));
      if (signal.aborted) resolve(name as T);
    }
  });
}

/**
 * An attempt that reports one phase and then waits for the gate; it ends as cancelled when it is told to stop, and as
 * suspended, with this checkpoint, when it is told to leave.
 */
export function waitsFor(gate: Promise<unknown>, end: AttemptEvent, checkpoint: Checkpoint | null = null): Script {
  return async function* (_plan, signal, suspended) {
    yield { type: 'accepted' };
    yield { type: 'phase', phase: 'denoise' };
    const open = gate.then(() => 'gate' as const);
    const why = await Promise.race([open, firstAborted({ cancelled: signal, suspended })]);
    if (why === 'gate') yield end;
    else if (why === 'cancelled') yield { type: 'cancelled' };
    else yield { type: 'suspended', checkpoint };
  };
}
