import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import type { Job } from '../domain/job/job.js';
import type { Priority } from '../domain/job/priority.js';
import { sortAt } from '../domain/job/priority.js';
import { choosePreempted } from '../domain/placement/preemption.js';
import type { Reservation } from '../domain/placement/reservation.js';
import { isServedBy } from '../domain/placement/served-by.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { attemptFields } from '../telemetry/attempt-fields.js';
import { LOG } from '../telemetry/log.js';
import { Candidates, WARM_BONUS_MS } from './candidates.js';
import type { AttemptInFlight } from './in-flight.js';
import { InFlight } from './in-flight.js';
import { DeviceLeases } from './ports/device-leases.port.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';

/** Between two looks for an urgent job, in milliseconds: a busy node would ask its store after every attempt. */
const LOOK_PAUSE_MS = 100;

/** Between two looks whether an attempt has left, in milliseconds; as a rule its permit is the sooner sign. */
const LEAVING_PAUSE_MS = 1000;

/** How long an urgent job is left to other nodes, which may have room for it, in milliseconds. */
const GRACE_MS = 500;

/** How long an attempt that could not be suspended is left alone, in milliseconds: it may only just have been claimed. */
const REFUSAL_MS = 5000;

/** Urgent jobs looked at: one that no worker here may have is not to keep the others waiting. */
const JOBS_LOOKED_AT = 100;

const LESS_URGENT: readonly Priority[] = ['high', 'normal', 'low'];

/** An urgent job, and the attempt to take off its device for it. */
interface Exchange {
  readonly urgent: Job;
  readonly victim: AttemptInFlight;
}

/**
 * Takes a running attempt off its device for an urgent job that finds no room. One suspension at a time: the next urgent job
 * is looked at when the attempt before has left.
 */
@Injectable()
export class Preemption {
  private suspended: AttemptInFlight | null = null;
  private lookedAt = Number.NEGATIVE_INFINITY;
  /** The urgent job that waits, since when. */
  private waiting: { readonly id: string; readonly since: number } | null = null;
  /** When attempts last could not be suspended. */
  private readonly refusedAt = new WeakMap<AttemptInFlight, number>();

  constructor(
    private readonly store: JobStore,
    private readonly models: ModelCatalog,
    private readonly candidates: Candidates,
    private readonly inFlight: InFlight,
    private readonly leases: DeviceLeases,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /**
   * To be asked when nothing can be claimed; `workers`: those that take attempts. Returns in how many milliseconds it wants to
   * be asked again; null: not before something changes. It waits for no worker, for all others would wait with it.
   */
  async consider(workers: readonly ReadyWorker[]): Promise<number | null> {
    const running = this.inFlight.list();
    if (this.suspended !== null && running.includes(this.suspended)) return LEAVING_PAUSE_MS;
    this.suspended = null;
    if (workers.every((worker) => this.takesAnything(worker))) return null;
    if (!running.some(({ claimed }) => claimed.job.request.priority !== 'urgent')) return null;
    const sinceLook = this.clock.now() - this.lookedAt;
    if (sinceLook < LOOK_PAUSE_MS) return LOOK_PAUSE_MS - sinceLook;
    this.lookedAt = this.clock.now();
    const queued = await this.queuedUrgent();
    if (queued.length === 0) return null;
    const exchange = this.exchangeFor(queued, await this.firstLessUrgent(), workers);
    if (exchange === null) return running.some((attempt) => this.hasRefused(attempt)) ? REFUSAL_MS : null;
    if (!this.hasWaited(exchange.urgent.id)) return GRACE_MS;
    this.suspended = exchange.victim;
    void this.suspend(exchange);
    return LOOK_PAUSE_MS;
  }

  private async suspend({ urgent, victim }: Exchange): Promise<void> {
    const log = this.log.child({ urgent: urgent.id, ...attemptFields(victim.id), worker: victim.worker.id });
    if (await victim.suspend()) {
      log.info('an attempt is suspended for an urgent job');
      return;
    }
    log.warn('an attempt could not be suspended for an urgent job');
    this.refusedAt.set(victim, this.clock.now());
    if (this.suspended === victim) this.suspended = null;
  }

  private hasRefused(attempt: AttemptInFlight): boolean {
    const at = this.refusedAt.get(attempt);
    return at !== undefined && this.clock.now() - at < REFUSAL_MS;
  }

  /** In the order. */
  private async queuedUrgent(): Promise<readonly Job[]> {
    const first = await this.store.firstQueued('urgent', this.served());
    if (first === null) return [];
    const newest = await this.store.list({ states: ['queued'], priority: 'urgent', limit: JOBS_LOOKED_AT });
    const here = newest.filter(({ request }) => this.models.find(request.model) !== null);
    return here.toSorted((a, b) => orderOf(a) - orderOf(b));
  }

  /** The first of each other class. */
  private async firstLessUrgent(): Promise<readonly Job[]> {
    const jobs: Job[] = [];
    for (const priority of LESS_URGENT) {
      const found = await this.store.firstQueued(priority, this.served());
      const job = found === null ? null : await this.store.get(found.id);
      if (job !== null) jobs.push(job);
    }
    return jobs;
  }

  private served(): readonly string[] {
    return this.models.list().map(({ id }) => id);
  }

  private hasWaited(id: string): boolean {
    const now = this.clock.now();
    if (this.waiting?.id !== id) this.waiting = { id, since: now };
    return !this.store.isShared || now - this.waiting.since >= GRACE_MS;
  }

  /** For the first urgent job that nothing but a running attempt keeps waiting. */
  private exchangeFor(
    queued: readonly Job[],
    lessUrgent: readonly Job[],
    workers: readonly ReadyWorker[],
  ): Exchange | null {
    for (const urgent of queued) {
      if (workers.some((worker) => this.isOpenTo(urgent, worker))) continue;
      const ahead = lessUrgent.filter((job) => orderOf(job) < orderOf(urgent));
      const victim = this.victimFor(urgent, ahead, workers);
      if (victim !== null) return { urgent, victim };
    }
    return null;
  }

  /** `ahead`: jobs that would get the room before the urgent one where they can use it. */
  private victimFor(urgent: Job, ahead: readonly Job[], workers: readonly ReadyWorker[]): AttemptInFlight | null {
    const able = workers.flatMap((worker) => {
      const there = this.inFlight.on(worker.id);
      // Whoever waits for the device alone gets what comes free there.
      const isPromised = there.length > 1 && there.some(({ claimed }) => claimed.job.solo);
      return isPromised ? [] : there.filter((attempt) => this.makesRoom(attempt, urgent, ahead, worker));
    });
    // One that is ahead of the urgent job all the same would be the next to be claimed.
    const behind = able.filter((attempt) => attempt.describe().sortAt > orderOf(urgent) + WARM_BONUS_MS);
    const chosen = choosePreempted(
      behind.map((attempt) => attempt.describe()),
      urgent,
    );
    return behind.find(({ id }) => id === chosen?.attemptId) ?? null;
  }

  /** Whether the urgent job, and none of those ahead, could run once the attempt is gone. */
  private makesRoom(attempt: AttemptInFlight, urgent: Job, ahead: readonly Job[], worker: ReadyWorker): boolean {
    if (attempt.isSuspending || attempt.signal.aborted || this.hasRefused(attempt)) return false;
    const taken = this.leases.reservations(worker.device.id);
    const theirs = taken.findIndex(({ model }) => model === attempt.claimed.job.request.model);
    const left = taken.filter((_, i) => i !== theirs);
    return this.suits(urgent, worker, left) && !ahead.some((job) => this.suits(job, worker, left));
  }

  /** Whether the job would be claimed for the worker as it is. */
  private isOpenTo(job: Job, worker: ReadyWorker): boolean {
    const { id } = worker.device;
    return this.leases.free(id) > 0 && this.suits(job, worker, this.leases.reservations(id));
  }

  /** Whether the job may go to the worker and has room there beside these. */
  private suits({ avoids, request }: Job, worker: ReadyWorker, beside: readonly Reservation[]): boolean {
    const model = this.models.find(request.model);
    if (model === null || avoids.includes(worker.qualifiedId)) return false;
    const { fits, maxPixels } = this.candidates.room(worker, model, beside);
    return fits && (maxPixels === null || request.width * request.height <= maxPixels);
  }

  /** Whether there is room for whatever may come. */
  private takesAnything(worker: ReadyWorker): boolean {
    const { id } = worker.device;
    if (this.leases.free(id) === 0) return false;
    const taken = this.leases.reservations(id);
    const served = this.models.list().filter((model) => isServedBy(model, worker.device));
    return served.every((model) => {
      const { fits, maxPixels } = this.candidates.room(worker, model, taken);
      return fits && maxPixels === null;
    });
  }
}

function orderOf({ request, createdAt }: Job): number {
  return sortAt(request.priority, createdAt);
}
