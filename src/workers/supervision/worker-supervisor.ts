import { setTimeout as wait } from 'node:timers/promises';

import type { AttemptEvent, ReadyWorker } from '../../dispatch/ports/worker-pool.port.js';
import { failure } from '../../domain/failure/failure.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { Device } from '../../domain/placement/device.js';
import type { WorkerDescription, WorkerMemory } from '../../domain/placement/worker-description.js';
import type { WorkerState } from '../../domain/placement/worker-state.js';
import { canWorkerMove, takesAttempts } from '../../domain/placement/worker-state.js';
import { attemptFields } from '../../telemetry/attempt-fields.js';
import type { WorkerHealth } from '../client/mapping.js';
import { unreturnedMessage } from './memory-return.js';
import { ModelMemory } from './model-memory.js';
import type { PastLife } from './restart-policy.js';
import { RestartPolicy } from './restart-policy.js';
import { StallCeilings } from './stall-ceilings.js';
import type { SupervisorOptions } from './supervisor-options.js';
import type { Epitaph } from './worker-life.js';
import { WorkerLife } from './worker-life.js';

/** Time a process may take to be gone once it was killed, in milliseconds: one that hangs inside a driver may never be. */
const KILL_TIMEOUT_MS = 5000;

/** Starts, watches and restarts the worker of one device, and says how it stands. Owns its lives, never a job. */
export class WorkerSupervisor implements ReadyWorker {
  readonly id: string;
  readonly device: Device;
  readonly qualifiedId: string;
  memory: WorkerMemory | null = null;
  /** The worker itself tells no more than the budget of the settings. */
  budgetBytes: number | null = null;
  private state: WorkerState = 'starting';
  private reason: string | null = 'starting';
  /** The life that goes on; null between two. */
  private life: WorkerLife | null = null;
  private lives = 0;
  private restarts = 0;
  private running = 0;
  private models: readonly string[] = [];
  private versions: Readonly<Record<string, string>> | null = null;
  /** Why the process is to be replaced as soon as nothing runs; null: it is not. */
  private recycledFor: string | null = null;
  /** Why it is not started again when its process ends; null: it is. */
  private drainedFor: string | null = null;
  private loop: Promise<void> | null = null;
  private stopping = new AbortController();
  private readonly restartPolicy: RestartPolicy;
  private readonly ceilings: StallCeilings;
  private readonly modelMemory: ModelMemory;
  /** An attempt was left with this life, and nobody was told yet that it is over. */
  private wasOccupied = false;

  constructor(private readonly options: SupervisorOptions) {
    const { id, node, device, config } = options;
    this.id = id;
    this.device = device;
    this.qualifiedId = `${node}/${id}`;
    const backoff = { baseMs: config.restartBaseMs, capMs: config.restartCapMs };
    this.restartPolicy = new RestartPolicy(backoff, config.breakerRetryMs);
    this.ceilings = new StallCeilings(config);
    this.modelMemory = new ModelMemory(device, config.memoryReturnMinBytes);
  }

  get warmModels(): readonly string[] {
    return this.models;
  }

  get takesAttempts(): boolean {
    return takesAttempts(this.state) && this.life !== null && !this.life.isOccupied;
  }

  describe(): WorkerDescription {
    const { id, device, state, running, models, memory, restarts, versions } = this;
    const { node } = this.options;
    const pid = this.life?.pid ?? null;
    const isOccupied = takesAttempts(state) && this.life?.isOccupied === true;
    const reason = isOccupied ? 'it still computes for an attempt that was left, and takes no other' : this.reason;
    return { id, node, device, state, pid, models, running, memory, restarts, reason, versions };
  }

  /**
   * Begins its first life, or a new one after it was stopped. False: it has one.
   * @param deviceIsFree resolves when a worker of another server has let go of the device; null: there is none
   */
  start(deviceIsFree: Promise<void> | null = null): boolean {
    if (this.loop !== null && this.state !== 'stopped') return false;
    this.stopping = new AbortController();
    this.drainedFor = null;
    this.move('starting', deviceIsFree === null ? 'starting' : 'waiting for a worker of a former life to end');
    this.loop = this.superviseUntilStopped(this.stopping.signal, deviceIsFree);
    return true;
  }

  /** Takes no more attempts; those in flight go on. */
  drain(why: string): void {
    this.drainedFor ??= why;
    this.move('draining', why);
  }

  /**
   * Ends the worker, by force when it does not go in time. One that not even force ends is left: what is written down of it
   * tells the next server. Safe to call twice.
   */
  async stop(why: string): Promise<void> {
    const { config, log } = this.options;
    this.drain(why);
    this.stopping.abort();
    const limit = new AbortController();
    const late = wait(config.stopTimeoutMs + KILL_TIMEOUT_MS, true, { signal: limit.signal }).catch(() => false);
    const ended = Promise.all([this.life?.stop(why), this.loop]).then(() => false);
    if (await Promise.race([ended, late]))
      log.error({ pid: this.life?.pid }, 'a worker was killed and is still not gone');
    limit.abort();
  }

  async *run(plan: ExecutionPlan, signal: AbortSignal): AsyncGenerator<AttemptEvent> {
    const { life } = this;
    if (life === null || !this.takesAttempts) {
      yield { type: 'failed', failure: failure('worker_stopping', `worker ${this.id} is not there`) };
      return;
    }
    this.changeRunning(1);
    try {
      for await (const event of life.run(plan, signal)) {
        // Told to end by somebody else, it gives back whatever it is given until it is gone.
        if (event.type === 'failed' && event.failure.kind === 'worker_stopping' && life === this.life)
          this.move('draining', this.reason ?? 'it was told to stop');
        yield event;
      }
    } finally {
      this.wasOccupied ||= life === this.life && life.isOccupied;
      this.changeRunning(-1);
    }
  }

  async suspend(attemptId: string): Promise<boolean> {
    try {
      return (await this.life?.suspend(attemptId)) ?? false;
    } catch (error) {
      this.options.log.debug({ err: error, ...attemptFields(attemptId) }, 'an attempt could not be suspended');
      return false;
    }
  }

  async setPreviews(attemptId: string, intervalMs: number): Promise<void> {
    try {
      await this.life?.setPreviews(attemptId, intervalMs);
    } catch (error) {
      this.options.log.debug({ err: error, ...attemptFields(attemptId) }, 'previews could not be switched');
    }
  }

  private async superviseUntilStopped(signal: AbortSignal, deviceIsFree: Promise<void> | null): Promise<void> {
    const isOver = () => signal.aborted || this.drainedFor !== null;
    if (deviceIsFree !== null) await deviceIsFree;
    if (!isOver()) this.move('starting', 'starting');
    while (!isOver()) {
      const past = await this.newLife().live();
      this.ceilings.learn(past);
      if (isOver()) break;
      this.restarts += 1;
      if (this.recycledFor === null) await wait(this.restartDelay(past), undefined, { signal }).catch(() => undefined);
      if (!isOver()) this.move('starting', this.reason);
    }
    this.move('stopped', this.drainedFor);
  }

  /** Milliseconds until the next life. */
  private restartDelay(past: PastLife): number {
    const { log } = this.options;
    const { reason, restarts } = this;
    const { delayMs, earlyDeaths, isBroken } = this.restartPolicy.afterDeath(past, Math.random());
    if (isBroken) {
      const again = `it died ${earlyDeaths} times without having done any work and is tried again every ${delayMs / 1000} s`;
      this.move('defunct', `${again}; the last time ${reason}`);
      log.error({ reason, delayMs, earlyDeaths, restarts }, 'worker dies again and again');
    } else {
      log.warn({ reason, delayMs, restarts }, 'worker is started again');
    }
    return delayMs;
  }

  private newLife(): WorkerLife {
    const { id, device, config, command, preload, served, onFootprint, log } = this.options;
    const { ceilings } = this;
    this.recycledFor = null;
    this.wasOccupied = false;
    this.modelMemory.beginLife();
    const life = new WorkerLife({
      ...{ id, device, config, ceilings, preload, served, log, command: command(this.lives++) },
      onLoading: (model) => this.move('starting', `loading the model ${model}`),
      onReady: ({ versions, memoryBytes }) => {
        this.versions = versions;
        this.budgetBytes = memoryBytes;
        this.move('ready', null);
        log.info({ pid: life.pid, device: device.id }, 'worker is ready');
      },
      onHealth: (health) => this.see(health),
      onFootprint: (footprint) => {
        const { model, weightsBytes } = footprint;
        this.modelMemory.learnWeights(model, weightsBytes);
        if (!this.models.includes(model)) this.models = [...this.models, model];
        onFootprint(footprint);
      },
      onGivenUp: (why) => this.move('defunct', why),
      onEnd: (epitaph) => this.bury(epitaph),
    });
    this.life = life;
    return life;
  }

  /** The process is gone: nothing of it can be used any more. */
  private bury({ message }: Epitaph): void {
    this.life = null;
    this.models = [];
    this.memory = null;
    this.move('defunct', this.recycledFor ?? message);
  }

  private see({ models, memory, isDraining, attemptIds, phase }: WorkerHealth): void {
    this.memory = memory;
    const isFree = this.wasOccupied && this.life?.isOccupied === false;
    const changed = isFree || models.join('\n') !== this.models.join('\n');
    this.models = models;
    if (isFree) this.wasOccupied = false;
    if (isDraining) this.move('draining', this.recycledFor ?? this.drainedFor ?? 'it was told to stop');
    else this.checkMemory(attemptIds.length === 0 && phase === null);
    if (changed) this.options.onChange();
  }

  private checkMemory(isIdle: boolean): void {
    const { models, memory } = this;
    if (memory === null || this.recycledFor !== null) return;
    const { allocatedBytes } = memory;
    const sighting = { at: performance.now(), models, allocatedBytes, isIdle: isIdle && this.running === 0 };
    const unreturned = this.modelMemory.see(sighting);
    if (unreturned === null) return;
    this.options.log.error(unreturned, 'memory did not come back after models left; the worker is restarted');
    this.recycledFor = unreturnedMessage(unreturned);
    this.move('draining', this.recycledFor);
    this.recycleWhenIdle();
  }

  private recycleWhenIdle(): void {
    if (this.recycledFor !== null && this.running === 0) void this.life?.stop(this.recycledFor);
  }

  private changeRunning(by: 1 | -1): void {
    this.running += by;
    if (this.state === 'ready' && this.running > 0) this.move('busy', null);
    else if (this.state === 'busy' && this.running === 0) this.move('ready', null);
    this.recycleWhenIdle();
  }

  private move(to: WorkerState, reason: string | null): void {
    if (this.state !== to && !canWorkerMove(this.state, to)) return;
    this.state = to;
    this.reason = reason;
    this.options.onChange();
  }
}
