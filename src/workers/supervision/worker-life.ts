import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import type { WorkersConfig } from '../../config/workers.config.js';
import type { AttemptEvent } from '../../dispatch/ports/worker-pool.port.js';
import type { Failure } from '../../domain/failure/failure.js';
import { failure } from '../../domain/failure/failure.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { Device } from '../../domain/placement/device.js';
import type { ModelFootprint } from '../../domain/placement/footprint.js';
import { attemptFields } from '../../telemetry/attempt-fields.js';
import type { WorkerHealth } from '../client/mapping.js';
import type { LoadableModel } from '../client/plan-to-wire.js';
import { CancelOverdueError, WorkerClient } from '../client/worker-client.js';
import type { WatchedAttempt } from './watched-attempts.js';
import { WatchedAttempts } from './watched-attempts.js';
import { classifyExit } from './exit-classifier.js';
import type { Stall } from './health-verdict.js';
import { HealthWatch } from './health-watch.js';
import { LearnedPace } from './learned-pace.js';
import { ModelArrivals } from './model-arrivals.js';
import { ProcessTable } from './process-table.js';
import type { PastLife } from './restart-policy.js';
import type { LifeOfRounds, StallCeilings } from './stall-ceilings.js';
import type { WorkerCommand } from './worker-process.js';
import { WorkerProcess } from './worker-process.js';

/** Major version of the worker contract this build speaks. */
const PROTOCOL = 1;

/** How long a broken stream waits for the exit that explains it, in milliseconds. */
const EXIT_REPORT_WAIT_MS = 2000;

/** Why a process ended, in the words of a failure. */
export type Epitaph = Pick<Failure, 'kind' | 'message'>;

/** What a worker tells of itself, the same for all of its life. */
export interface WorkerFacts {
  readonly versions: Readonly<Record<string, string>>;
  /** All it may take of its device; null: it does not say. */
  readonly memoryBytes: number | null;
}

export interface LifeOptions {
  /** Id of the worker. */
  readonly id: string;
  readonly device: Device;
  readonly config: WorkersConfig;
  readonly command: WorkerCommand;
  /** Of all lives of this worker. */
  readonly ceilings: StallCeilings;
  /** Models to load before the worker is called ready, in this order. */
  readonly preload: readonly LoadableModel[];
  /** Models that attempts may bring. */
  readonly served: readonly LoadableModel[];
  readonly log: Logger;
  readonly onLoading: (model: string) => void;
  readonly onReady: (facts: WorkerFacts) => void;
  readonly onHealth: (health: WorkerHealth) => void;
  readonly onFootprint: (footprint: Omit<ModelFootprint, 'overruns'>) => void;
  /** It was killed for standing still; its process may take its time to go. */
  readonly onGivenUp: (why: string) => void;
  /** Called in the very turn of the exit: whoever hears of it must not find the worker ready still. */
  readonly onEnd: (epitaph: Epitaph) => void;
}

/** One life of a worker, from spawn to exit. Owns the process and what speaks to it. */
export class WorkerLife {
  private readonly process: WorkerProcess;
  private readonly pace: LearnedPace;
  private readonly attempts: WatchedAttempts;
  private readonly epitaph: Promise<Epitaph>;
  private client: WorkerClient | null = null;
  /** Attempts that gave a result. */
  private results = 0;
  private readyAt: number | null = null;
  private allocatedBytes: number | null = null;
  private killedFor: { readonly stall: boolean; readonly why: string } | null = null;
  private stoppedFor: string | null = null;
  private stall: Stall | null = null;

  constructor(private readonly options: LifeOptions) {
    const { command, ceilings, config, log } = options;
    const { stallFloorMs: floorMs, healthIntervalMs: lookIntervalMs } = config;
    this.pace = new LearnedPace({ floorMs, ceilings, lookIntervalMs });
    this.attempts = new WatchedAttempts(this.pace);
    this.process = new WorkerProcess(command, log);
    this.epitaph = this.waitForEnd();
  }

  get pid(): number | null {
    return this.process.pid;
  }

  /** Whether the engine may still be at an attempt that nobody follows any more. */
  get isOccupied(): boolean {
    return this.attempts.isOccupied;
  }

  /** Brings it up and watches over it until the process is gone. */
  async live(): Promise<PastLife & LifeOfRounds> {
    const { config, log, onReady } = this.options;
    try {
      const { address } = await this.process.ready(config.startTimeoutMs);
      const client = new WorkerClient(address, this.options.device);
      this.client = client;
      const facts = await this.describe(client);
      const arrivals = await this.preload(client);
      this.readyAt = performance.now();
      onReady(facts);
      await this.watch(client, arrivals);
    } catch (error) {
      if (this.stoppedFor === null) log.error({ err: error }, 'worker did not become ready');
      this.kill({ stall: false, why: `it did not become ready: ${messageOf(error)}` });
    } finally {
      await this.epitaph;
      this.client?.close();
    }
    const upMs = this.readyAt === null ? 0 : performance.now() - this.readyAt;
    return { upMs, results: this.results, outlasted: this.stall?.outlasted ?? [] };
  }

  /** Ends the process, by force when it does not go in time; its attempts are given back. Safe to call twice. */
  async stop(why: string): Promise<void> {
    this.stoppedFor ??= why;
    await this.process.stop();
  }

  /** Only once it is ready. */
  async *run(plan: ExecutionPlan, signal: AbortSignal): AsyncGenerator<AttemptEvent> {
    const attempt = this.attempts.begin(plan);
    try {
      attempt.wait(performance.now());
      for await (const event of this.client!.run(plan, { cancel: signal, leave: attempt.forgotten })) {
        attempt.hear(event);
        if (event.type === 'result') this.results += 1;
        yield event;
        attempt.wait(performance.now());
      }
    } catch (error) {
      if (error instanceof CancelOverdueError) {
        const fields = { err: error, ...attemptFields(plan.attemptId) };
        this.options.log.warn(fields, 'the worker takes no other until it lets go');
        yield { type: 'cancelled' };
      } else yield { type: 'failed', failure: await this.explain(attempt, error) };
    } finally {
      this.attempts.end(attempt, performance.now());
    }
  }

  async suspend(attemptId: string): Promise<boolean> {
    return (await this.client?.suspend(attemptId))?.found ?? false;
  }

  async setPreviews(attemptId: string, intervalMs: number): Promise<void> {
    await this.client?.setPreviews(attemptId, intervalMs);
  }

  private async describe(client: WorkerClient): Promise<WorkerFacts> {
    const { protocol, pid, versions, device } = await client.describe();
    if (protocol === PROTOCOL) return { versions, memoryBytes: Number(device?.totalMemoryBytes ?? 0) || null };
    throw new Error(
      `the worker (pid ${pid}) speaks protocol ${protocol}, this server ${PROTOCOL}: install both from one version`,
    );
  }

  private async preload(client: WorkerClient): Promise<ModelArrivals> {
    const { config, preload, served, onLoading, onFootprint, log } = this.options;
    const arrivals = new ModelArrivals({ client, served, timeoutMs: config.startTimeoutMs, onFootprint, log });
    for (const wanted of preload) {
      onLoading(wanted.id);
      await arrivals.load(wanted);
    }
    return arrivals;
  }

  /** Until the process ends; ends it when its engine stands still. */
  private async watch(client: WorkerClient, arrivals: ModelArrivals): Promise<void> {
    const { config, onHealth, log } = this.options;
    const { attempts, pace } = this;
    // An abort, not the promise itself: a race would leave a reaction on it each time, for as long as the worker lives.
    const ended = new AbortController();
    void this.process.exited.then(() => ended.abort());
    const watch = new HealthWatch({
      client,
      config,
      attempts,
      pace,
      log,
      isStopped: () => this.pid !== null && new ProcessTable().isStopped(this.pid),
      onHealth: (health) => {
        this.allocatedBytes = health.memory?.allocatedBytes ?? null;
        arrivals.see(health.models);
        onHealth(health);
      },
    });
    this.stall = await watch.untilStalled(ended.signal);
    if (this.stall !== null) this.giveUp(this.stall.why);
  }

  /**
   * A process that hangs inside a driver does not even die of SIGKILL until that lets go of it. Its attempts do not wait for
   * that; the next life does, because the device is taken.
   */
  private giveUp(why: string): void {
    this.kill({ stall: true, why });
    this.attempts.abandon();
    this.options.onGivenUp(`${why}; waiting for its process to end`);
  }

  private kill(why: NonNullable<typeof this.killedFor>): void {
    // One that ended by itself has a reason of its own.
    if (this.process.isAlive) this.killedFor ??= why;
    this.process.kill();
  }

  private async waitForEnd(): Promise<Epitaph> {
    const exit = await this.process.exited;
    const { killedFor, allocatedBytes, readyAt } = this;
    const { lastWords } = this.process;
    const epitaph = classifyExit({ ...exit, killedFor, allocatedBytes, lastWords, wasReady: readyAt !== null });
    this.options.onEnd(epitaph);
    return epitaph;
  }

  /** A broken stream says nothing of its cause; the exit of the process does, and comes within moments. */
  private async explain({ phase, step, forgotten }: WatchedAttempt, error: unknown): Promise<Failure> {
    const { id } = this.options;
    const facts = { phase, step, detail: messageOf(error) };
    if (this.killedFor?.stall === true) {
      return failure('worker_hung', `worker ${id} went away: ${this.killedFor.why} and it was killed`, facts);
    }
    if (forgotten.aborted) {
      return failure('internal', `worker ${id} no longer has the attempt and did not say how it ended`, facts);
    }
    const epitaph = await Promise.race([this.epitaph, wait(EXIT_REPORT_WAIT_MS, null, { ref: false })]);
    if (this.stoppedFor !== null) return failure('worker_stopping', `worker ${id} stopped: ${this.stoppedFor}`, facts);
    if (epitaph === null) {
      // Nobody died: it is no reason to suspect the job of killing workers.
      const kind = this.process.isAlive ? 'internal' : 'worker_lost';
      return failure(kind, `worker ${id} no longer answers`, facts);
    }
    return failure(epitaph.kind, `worker ${id} went away: ${epitaph.message}`, facts);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
