import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { DatabaseConfig } from '../../config/database.config.js';
import { Clock } from '../../jobs/ports/clock.port.js';
import { Drains } from '../../jobs/ports/drains.port.js';
import { JobEvents } from '../../jobs/ports/job-events.port.js';
import type { RenewedClaim } from '../../jobs/ports/job-store.port.js';
import { JobStore } from '../../jobs/ports/job-store.port.js';
import { NodeIdentity } from '../../jobs/ports/node-identity.js';
import { NodeStore } from '../../jobs/ports/node-store.port.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { LOG } from '../../telemetry/log.js';
import type { AttemptInFlight } from '../in-flight.js';
import { InFlight } from '../in-flight.js';
import { Repeating } from './repeating.js';

/** Renewals within the time a claim holds: two may fail before it is lost. */
const RENEWALS_PER_LEASE = 3;

/** Pause after the store failed to answer, in milliseconds. */
const STORE_PAUSE_MS = 1000;

/**
 * The heartbeat of a node that shares its store: renews the claims of its attempts, tells that it lives, and hears what it
 * missed: claims that were lost, cancels, and that another server took its name.
 */
@Injectable()
export class ClaimKeeper {
  private readonly loop = new Repeating(() => this.beat());
  /** Claims in the store that no attempt here has, as of the last renewal. */
  private strays: ReadonlySet<string> = new Set();
  private supersede: () => void = () => undefined;

  constructor(
    private readonly store: JobStore,
    private readonly nodes: NodeStore,
    private readonly events: JobEvents,
    private readonly inFlight: InFlight,
    private readonly drains: Drains,
    private readonly inventory: WorkerInventory,
    private readonly node: NodeIdentity,
    private readonly database: DatabaseConfig,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** `onSuperseded`: another server has taken the name of this one, and its jobs. Nothing is renewed after it. */
  start(onSuperseded: () => void): void {
    this.supersede = onSuperseded;
    if (this.store.isShared) this.loop.start(0);
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  private async beat(): Promise<number | null> {
    const { leaseMs } = this.database;
    try {
      // One that is claimed while the store answers is not missing from the answer.
      const attempts = this.inFlight.list();
      const renewed = await this.store.renewClaims(this.node.id, leaseMs, this.clock.now());
      this.stopTheLost(attempts, renewed);
      await this.giveBackStrays(renewed);
      const report = { state: this.drains.nodeState(), workers: this.inventory.list() };
      if (!(await this.nodes.renew(this.node.id, report, leaseMs, this.clock.now()))) {
        this.log.error({ node: this.node.name }, 'another server has taken the name of this one');
        for (const attempt of this.inFlight.list()) attempt.stop('lost');
        this.supersede();
        return null;
      }
      return leaseMs / RENEWALS_PER_LEASE;
    } catch (error) {
      this.log.error({ err: error }, 'the claims of running jobs could not be renewed');
      return Math.min(STORE_PAUSE_MS, leaseMs / RENEWALS_PER_LEASE);
    }
  }

  private stopTheLost(attempts: readonly AttemptInFlight[], renewed: readonly RenewedClaim[]): void {
    const held = new Map(renewed.map((claim) => [keyOf(claim), claim]));
    for (const attempt of attempts) {
      const claim = held.get(keyOf(attempt.claimed.claim));
      if (claim === undefined) attempt.stop('lost');
      else if (claim.cancelRequested) attempt.stop('cancel');
    }
  }

  /**
   * A claim whose answer never came, because the connection broke after the commit, is held by nobody. Seen at two renewals
   * in a row it is not just on its way.
   */
  private async giveBackStrays(renewed: readonly RenewedClaim[]): Promise<void> {
    const ours = new Set(this.inFlight.list().map(({ claimed }) => keyOf(claimed.claim)));
    const strays = renewed.filter((claim) => !ours.has(keyOf(claim)));
    for (const stray of strays.filter((claim) => this.strays.has(keyOf(claim)))) await this.giveBack(stray);
    this.strays = new Set(strays.map(keyOf));
  }

  private async giveBack({ jobId, token }: RenewedClaim): Promise<void> {
    const attempt = (await this.store.get(jobId))?.attempts.at(-1);
    if (attempt === undefined) return;
    const now = this.clock.now();
    const record = { ...attempt, outcome: 'returned', finishedAt: now } as const;
    const recorded = await this.store.returnIfClaimed({ jobId, attempt: attempt.number, token }, record, now);
    if (!recorded.recorded) return;
    this.log.warn({ job: jobId }, 'a claim that nobody held is given back');
    this.events.publish(recorded.events);
  }
}

function keyOf({ jobId, token }: { readonly jobId: string; readonly token: number }): string {
  return `${jobId}/${token}`;
}
