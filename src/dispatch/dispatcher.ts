import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { DatabaseConfig } from '../config/database.config.js';
import type { Job } from '../domain/job/job.js';
import { placementOrder } from '../domain/placement/placement-order.js';
import type { Reservation } from '../domain/placement/reservation.js';
import { canRun, isFirstChoice, isServedBy } from '../domain/placement/served-by.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';
import type { ClaimableModel } from '../jobs/ports/job-store.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { NodeIdentity } from '../jobs/ports/node-identity.js';
import { attemptFields } from '../telemetry/attempt-fields.js';
import { LOG } from '../telemetry/log.js';
import { AttemptOutlines } from './attempt-outline.js';
import { AttemptRunner } from './attempt-runner.js';
import { AttemptStops } from './attempt-stops.js';
import { Candidates } from './candidates.js';
import { allEnd, WIND_DOWN, windDown } from './drain/wind-down.js';
import { Fallback } from './fallback.js';
import { AttemptInFlight, InFlight } from './in-flight.js';
import type { DeviceLease } from './ports/device-leases.port.js';
import { DeviceLeases } from './ports/device-leases.port.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';
import { WorkerPool } from './ports/worker-pool.port.js';
import { Preemption } from './preemption.js';
import { Stranded } from './stranded.js';

/** Pause after the store failed to answer a claim, in milliseconds. */
const STORE_PAUSE_MS = 1000;

/** Between two looks at a shared store, in milliseconds: what other nodes tell is a hint that may get lost. */
const POLL_MS = 1000;

/**
 * The loop: while a worker is ready and a permit is free, claim the next job that fits and run its attempt. It wakes when a
 * job enters the queue, a permit comes back, or a worker becomes ready; only a shared store is polled.
 */
@Injectable()
export class Dispatcher {
  private readonly giveUp = new AbortController();
  private stops: (() => void)[] = [];
  private timer: NodeJS.Timeout | undefined;
  /** The workers that take attempts, and their models, as last seen. */
  private met = '';
  private accepting = false;
  private again = false;
  private round: Promise<void> | null = null;

  constructor(
    private readonly store: JobStore,
    private readonly events: JobEvents,
    private readonly pool: WorkerPool,
    private readonly leases: DeviceLeases,
    private readonly candidates: Candidates,
    private readonly stranded: Stranded,
    private readonly fallback: Fallback,
    private readonly models: ModelCatalog,
    private readonly outlines: AttemptOutlines,
    private readonly attemptStops: AttemptStops,
    private readonly runner: AttemptRunner,
    private readonly inFlight: InFlight,
    private readonly preemption: Preemption,
    private readonly node: NodeIdentity,
    private readonly database: DatabaseConfig,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** Begins to claim. */
  async start(): Promise<void> {
    await this.candidates.start();
    this.accepting = true;
    this.stops = [
      this.events.onAny(({ body }) => {
        if (body.type === 'state' && body.state === 'queued') this.wake();
      }),
      this.pool.onChange(() => this.meetWorkers()),
      this.leases.onRelease(() => this.wake()),
    ];
    if (this.store.isShared) {
      const poll = setInterval(() => this.wake(), POLL_MS);
      this.stops.push(() => clearInterval(poll));
    }
    this.wake();
  }

  /**
   * Claims nothing more; waits until the attempts in flight have ended, at most `drainMs`, then has the rest suspended and
   * gives them back to the queue. A worker that does nothing it is told keeps its attempts: see {@link settle}. Safe to call
   * twice.
   */
  async stop(drainMs: number): Promise<void> {
    this.accepting = false;
    for (const stop of this.stops) stop();
    this.stops = [];
    await this.idle();
    this.wakeIn(null);
    const limit = setTimeout(() => this.giveUp.abort(), drainMs + WIND_DOWN.suspendMs);
    await windDown(() => this.inFlight.list(), { ...WIND_DOWN, drainMs });
    clearTimeout(limit);
  }

  /**
   * To be called when the workers have ended and before the store is closed: what a worker would not let go of is written.
   * What cannot be written by then is found with nobody who runs it at the next start.
   */
  async settle(): Promise<void> {
    const settled = await allEnd(() => this.inFlight.list(), WIND_DOWN.giveBackMs);
    if (!settled) this.log.warn({ attempts: this.inFlight.list().length }, 'attempts are left to the next start');
  }

  /** Resolves when no round is under way. */
  async idle(): Promise<void> {
    while (this.round !== null) await this.round;
  }

  /** Most changes of a worker, such as that it is busy now, let nothing be claimed that could not be before. */
  private meetWorkers(): void {
    const ready = this.pool.ready().map(({ qualifiedId, warmModels }) => [qualifiedId, ...warmModels].join('\n'));
    const met = [...ready.toSorted(), this.fallback.presentHere()].join('\n\n');
    if (met === this.met) return;
    this.met = met;
    this.stranded.lookAgain();
    this.wake();
  }

  /** One round at a time; a wake during a round makes one more. */
  private wake(): void {
    this.again = true;
    this.round ??= this.claimWhilePossible().finally(() => {
      this.round = null;
      if (this.again && this.accepting) this.wake();
    });
  }

  private wakeIn(ms: number | null): void {
    clearTimeout(this.timer);
    if (ms !== null) this.timer = setTimeout(() => this.wake(), ms);
  }

  private async claimWhilePossible(): Promise<void> {
    while (this.again && this.accepting) {
      this.again = false;
      try {
        while (this.accepting && (await this.claimOne()));
        if (this.accepting)
          this.wakeIn(sooner(await this.preemption.consider(this.pool.ready()), this.fallback.changesInMs));
      } catch (error) {
        this.log.error({ err: error }, 'no job could be claimed');
        await new Promise((resolve) => setTimeout(resolve, STORE_PAUSE_MS));
        this.again = true;
      }
    }
  }

  /** True when a job was claimed and its attempt begun. */
  private async claimOne(): Promise<boolean> {
    const workers = this.pool.ready().map((worker) => ({
      worker,
      deviceId: worker.device.id,
      free: this.leases.free(worker.device.id),
    }));
    const open = placementOrder(workers).map(({ worker }) => worker);
    await this.fallback.look(open);
    for (const worker of open) {
      if (await this.claimFor(worker, await this.candidates.for(worker), worker.qualifiedId)) return true;
    }
    for (const worker of open) {
      const model = await this.fallback.findModel(worker);
      if (model !== null && (await this.claimFor(worker, [anyOf(model)], worker.qualifiedId))) return true;
    }
    return this.claimStranded(open);
  }

  /** As a worker that nobody avoids. */
  private async claimStranded(open: readonly ReadyWorker[]): Promise<boolean> {
    if (open.length === 0) return false;
    const isRunnable = ({ request }: Job) => {
      const model = this.models.find(request.model);
      return model !== null && open.some(({ device }) => canRun(request, model, device));
    };
    const stranded = await this.stranded.findModel(isRunnable);
    const model = stranded === null ? null : this.models.find(stranded);
    if (model === null) return false;
    const able = open.filter(({ device }) => isServedBy(model, device));
    const worker = able.find(({ device }) => isFirstChoice(model, device)) ?? able[0];
    return worker !== undefined && this.claimFor(worker, [anyOf(model.id)], '');
  }

  /** `claimant`: whom a job must not avoid. */
  private async claimFor(worker: ReadyWorker, models: readonly ClaimableModel[], claimant: string): Promise<boolean> {
    if (models.length === 0) return false;
    const { id, name } = this.node;
    const placement = { worker: worker.id, device: worker.device.id };
    const claimer = { node: id, nodeName: name, worker: claimant, placement, leaseMs: this.database.leaseMs };
    const claimed = await this.store.claimNext(models, claimer, this.clock.now());
    if (claimed === null) return false;
    this.events.publish(claimed.events);
    void this.run(new AttemptInFlight(claimed, worker, this.clock.now()));
    return true;
  }

  /** The lease is the attempt's and is released when it has ended, however it ended. */
  private async run(attempt: AttemptInFlight): Promise<void> {
    this.inFlight.begin(attempt);
    const unwatch = this.attemptStops.watch(attempt);
    let lease: DeviceLease | null = null;
    try {
      const outline = this.outlines.outline(attempt.claimed, attempt.worker);
      // Up to here nothing waits: only this loop takes permits, so the one that was free is free still.
      lease = await this.lease(attempt, outline.reservation);
      if (lease === null) attempt.stop('shutdown');
      await this.runner.run(attempt, outline, this.giveUp.signal);
    } catch (error) {
      // Nobody here throws; should they, the job stays running until its claim is taken back, and that must be seen.
      this.log.fatal({ err: error, ...attemptFields(attempt.id) }, 'an attempt ended without an outcome');
    } finally {
      unwatch();
      this.inFlight.end(attempt);
      lease?.release();
    }
  }

  /** Null: the attempt was stopped while it waited for the device. */
  private async lease(attempt: AttemptInFlight, reservation: Reservation): Promise<DeviceLease | null> {
    const { device } = attempt.worker;
    if (!attempt.claimed.job.solo) return this.leases.tryAcquire(device.id, reservation);
    try {
      return await this.leases.acquireAlone(device.id, reservation, attempt.signal);
    } catch (error) {
      if (attempt.signal.aborted) return null;
      throw error;
    }
  }
}

function anyOf(model: string): ClaimableModel {
  return { model, bonusMs: 0, maxPixels: null };
}

/** Of two times, the one that comes first; null: never. */
function sooner(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b);
}
