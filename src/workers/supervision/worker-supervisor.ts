import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import type { WorkersConfig } from '../../config/workers.config.js';
import type { AttemptEvent, ReadyWorker } from '../../dispatch/ports/worker-pool.port.js';
import type { Failure } from '../../domain/failure/failure.js';
import { failure } from '../../domain/failure/failure.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { Phase } from '../../domain/job/phase.js';
import type { Device } from '../../domain/placement/device.js';
import type { WorkerDescription, WorkerMemory } from '../../domain/placement/worker-description.js';
import type { WorkerState } from '../../domain/placement/worker-state.js';
import { canWorkerMove, takesAttempts } from '../../domain/placement/worker-state.js';
import { durationFromWire, isDraining, memoryFromWire, phaseFromWire } from '../client/mapping.js';
import type { LoadableModel } from '../client/plan-to-wire.js';
import { WorkerClient } from '../client/worker-client.js';
import { classifyExit } from './exit-classifier.js';
import { isStalled } from './health-verdict.js';
import { RestartPolicy } from './restart-policy.js';
import type { ProcessExit, ReadyLine, WorkerCommand } from './worker-process.js';
import { WorkerProcess } from './worker-process.js';

/** Major version of the worker contract this build speaks. */
const PROTOCOL = 1;

/** How long a broken stream waits for the exit that explains it, in milliseconds. */
const EXIT_REPORT_WAIT_MS = 2000;

export interface SupervisorOptions {
  readonly id: string;
  readonly node: string;
  readonly device: Device;
  readonly config: WorkersConfig;
  /** Makes the command for a new incarnation, with a socket of its own: no client ever waits out another's backoff. */
  readonly command: (incarnation: number) => WorkerCommand;
  /** Models to load before the worker is called ready, in this order. */
  readonly preload: readonly LoadableModel[];
  /** Models that leave the device after a time without jobs; a worker that loads one for a job has to be told. */
  readonly keptAlive: readonly LoadableModel[];
  readonly onChange: () => void;
  readonly log: Logger;
}

type Epitaph = Pick<Failure, 'kind' | 'message'>;

/** One life of the process. */
interface Incarnation {
  readonly process: WorkerProcess;
  readonly client: WorkerClient;
  /** Why the process ended, for the attempts that were in it. */
  readonly epitaph: Promise<Epitaph>;
}

/** Starts, watches and restarts the worker of one device. Owns the process, never a job. */
export class WorkerSupervisor implements ReadyWorker {
  readonly id: string;
  readonly device: Device;
  private state: WorkerState = 'starting';
  private reason: string | null = 'starting';
  private current: Incarnation | null = null;
  private process: WorkerProcess | null = null;
  private running = 0;
  private restarts = 0;
  private killedForStall = false;
  private models: readonly string[] = [];
  private memory: WorkerMemory | null = null;
  private versions: Readonly<Record<string, string>> | null = null;
  private loop: Promise<void> = Promise.resolve();
  private readonly stopping = new AbortController();
  private readonly restartPolicy: RestartPolicy;

  constructor(private readonly options: SupervisorOptions) {
    this.id = options.id;
    this.device = options.device;
    const { restartBaseMs, restartCapMs } = options.config;
    this.restartPolicy = new RestartPolicy({ baseMs: restartBaseMs, capMs: restartCapMs });
  }

  get warmModels(): readonly string[] {
    return this.models;
  }

  get takesAttempts(): boolean {
    return takesAttempts(this.state) && this.current !== null;
  }

  describe(): WorkerDescription {
    const { id, device, state, running, models, memory, restarts, reason, versions } = this;
    return {
      id,
      node: this.options.node,
      device,
      state,
      pid: this.process?.pid ?? null,
      models,
      running,
      memory,
      restarts,
      reason,
      versions,
    };
  }

  start(): void {
    this.loop = this.superviseUntilStopped();
  }

  /** Takes no more attempts; those in flight go on. */
  drain(): void {
    this.move('draining', 'the node stops');
  }

  /** Ends the worker, by force when it does not go in time. Safe to call twice. */
  async stop(): Promise<void> {
    this.drain();
    this.stopping.abort();
    await this.process?.stop();
    await this.loop;
  }

  async *run(plan: ExecutionPlan, signal: AbortSignal): AsyncGenerator<AttemptEvent> {
    const incarnation = this.current;
    if (incarnation === null) {
      yield { type: 'failed', failure: failure('worker_stopping', `worker ${this.id} is not there`) };
      return;
    }
    this.changeRunning(1);
    let phase: Phase | null = null;
    let step = 0;
    try {
      for await (const event of incarnation.client.run(plan, signal)) {
        if (event.type === 'phase') phase = event.phase;
        if (event.type === 'step') step = event.step;
        // Told to end by somebody else, it gives back whatever it is given until it is gone.
        if (event.type === 'failed' && event.failure.kind === 'worker_stopping')
          this.move('draining', 'it was told to stop');
        yield event;
      }
    } catch (error) {
      yield { type: 'failed', failure: await this.explain(incarnation, error, phase, step) };
    } finally {
      this.changeRunning(-1);
    }
  }

  async setPreviews(attemptId: string, intervalMs: number): Promise<void> {
    try {
      await this.current?.client.setPreviews(attemptId, intervalMs);
    } catch (error) {
      this.options.log.debug({ err: error, attempt: attemptId }, 'previews could not be switched');
    }
  }

  /** A broken stream says nothing of its cause; the exit of the process does, and comes within moments. */
  private async explain(incarnation: Incarnation, error: unknown, phase: Phase | null, step: number): Promise<Failure> {
    const epitaph = await Promise.race([incarnation.epitaph, wait(EXIT_REPORT_WAIT_MS, null, { ref: false })]);
    const detail = error instanceof Error ? error.message : String(error);
    if (this.stopping.signal.aborted) return failure('worker_stopping', 'the node stopped', { phase, step, detail });
    if (epitaph === null) return failure('worker_lost', `worker ${this.id} no longer answers`, { phase, step, detail });
    return failure(epitaph.kind, `worker ${this.id} went away: ${epitaph.message}`, { phase, step, detail });
  }

  private async superviseUntilStopped(): Promise<void> {
    const { log } = this.options;
    const { signal } = this.stopping;
    for (let incarnation = 0; !signal.aborted; incarnation += 1) {
      const upMs = await this.live(incarnation);
      if (signal.aborted) break;
      const delayMs = this.restartPolicy.delayAfterDeath(upMs, Math.random());
      this.restarts += 1;
      log.warn({ reason: this.reason, delayMs, restarts: this.restarts }, 'worker is started again');
      await wait(delayMs, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) this.move('starting', this.reason);
    }
    this.move('stopped', 'stopped');
  }

  /** One life of the process, from spawn to exit. Returns how long it was ready, in milliseconds. */
  private async live(incarnation: number): Promise<number> {
    const { log, config } = this.options;
    this.killedForStall = false;
    const process = new WorkerProcess(this.options.command(incarnation), log);
    this.process = process;
    if (this.stopping.signal.aborted) void process.stop();
    // In the very turn of the exit: whoever hears of it must not find this worker ready still.
    const epitaph = process.exited.then((exit) => this.bury(exit));
    let client: WorkerClient | null = null;
    let readyAt: number | null = null;
    try {
      const ready = await process.ready(config.startTimeoutMs);
      client = new WorkerClient(ready.address, this.device);
      await this.prepare(client, ready);
      this.current = { process, client, epitaph };
      readyAt = performance.now();
      this.move('ready', null);
      log.info({ pid: process.pid, device: this.device.id }, 'worker is ready');
      await this.watch(process, client);
    } catch (error) {
      if (!this.stopping.signal.aborted) log.error({ err: error }, 'worker did not become ready');
      process.kill();
    } finally {
      await epitaph;
      this.current = null;
      client?.close();
    }
    return readyAt === null ? 0 : performance.now() - readyAt;
  }

  /** The process is gone: nothing of it can be used any more. Returns why, for the attempts that were in it. */
  private bury({ code, signal, startError }: ProcessExit): Epitaph {
    const epitaph: Epitaph =
      startError === null
        ? classifyExit({ code, signal, killedForStall: this.killedForStall })
        : { kind: 'worker_lost', message: `it could not be started: ${startError.message}` };
    this.current = null;
    this.process = null;
    this.models = [];
    this.memory = null;
    this.move('defunct', epitaph.message);
    return epitaph;
  }

  /** What must be true before the worker is given work. A model that cannot be loaded fails its jobs, not the worker. */
  private async prepare(client: WorkerClient, ready: ReadyLine): Promise<void> {
    const { log, config, preload } = this.options;
    const description = await client.describe();
    if (description.protocol !== PROTOCOL) {
      throw new Error(
        `the worker (pid ${ready.pid}) speaks protocol ${description.protocol}, this server ${PROTOCOL}: install both from one version`,
      );
    }
    this.versions = description.versions;
    for (const wanted of preload) {
      this.move('starting', `loading the model ${wanted.id}`);
      try {
        const { model } = await client.loadModel(wanted, config.startTimeoutMs);
        this.models = [...this.models, wanted.id];
        log.info({ model }, 'model is loaded');
      } catch (error) {
        log.error({ err: error, model: wanted.id }, 'model could not be loaded; jobs that need it will say so');
      }
    }
  }

  /** Looks at the worker until its process ends; kills it when its engine stands still. */
  private async watch(process: WorkerProcess, client: WorkerClient): Promise<void> {
    const { log, config } = this.options;
    // An abort, not the promise itself: a race would leave a reaction on it each time, for as long as the worker lives.
    const ended = new AbortController();
    const gone = process.exited.then(() => ended.abort());
    const limits = { stallTimeoutMs: config.stallTimeoutMs, loadTimeoutMs: config.startTimeoutMs };
    let answeredAt = performance.now();
    let loopAgeMs = 0;
    let phase: Phase | null = null;
    for (;;) {
      await wait(config.healthIntervalMs, undefined, { ref: false, signal: ended.signal }).catch(() => undefined);
      if (ended.signal.aborted) return;
      try {
        const health = await client.health();
        answeredAt = performance.now();
        loopAgeMs = durationFromWire(health.loopAge);
        phase = phaseFromWire(health.phase);
        this.limitStay(client, health.models);
        this.see(health.models, memoryFromWire(health.memory));
        if (isDraining(health)) this.move('draining', 'it was told to stop');
      } catch (error) {
        log.debug({ err: error }, 'worker did not answer');
      }
      if (isStalled({ loopAgeMs, silentMs: performance.now() - answeredAt, phase }, limits)) {
        log.error({ loopAgeMs, phase, pid: process.pid }, 'the engine stands still; the worker is killed');
        this.killedForStall = true;
        process.kill();
        await gone;
        return;
      }
    }
  }

  /** Tells how long models may stay that were not there before. Of one that is there, loading says no more than that. */
  private limitStay(client: WorkerClient, models: readonly string[]): void {
    const { keptAlive, config, log } = this.options;
    for (const model of keptAlive) {
      if (!models.includes(model.id) || this.models.includes(model.id)) continue;
      client.loadModel(model, config.startTimeoutMs).catch((error: unknown) => {
        if (this.stopping.signal.aborted) return;
        log.warn({ err: error, model: model.id }, 'the worker could not be told how long the model is to stay');
      });
    }
  }

  private see(models: readonly string[], memory: WorkerMemory | null): void {
    this.memory = memory;
    const changed = models.length !== this.models.length || models.some((model, index) => model !== this.models[index]);
    this.models = models;
    if (changed) this.options.onChange();
  }

  private changeRunning(by: 1 | -1): void {
    this.running += by;
    if (this.state === 'ready' && this.running > 0) this.move('busy', null);
    else if (this.state === 'busy' && this.running === 0) this.move('ready', null);
  }

  private move(to: WorkerState, reason: string | null): void {
    if (this.state !== to && !canWorkerMove(this.state, to)) return;
    this.state = to;
    this.reason = reason;
    this.options.onChange();
  }
}
