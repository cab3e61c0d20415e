import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { DatabaseConfig } from '../../config/database.config.js';
import { failure } from '../../domain/failure/failure.js';
import { Clock } from '../../jobs/ports/clock.port.js';
import { JobEvents } from '../../jobs/ports/job-events.port.js';
import type { Abandoned } from '../../jobs/ports/job-store.port.js';
import { JobStore } from '../../jobs/ports/job-store.port.js';
import { NodeIdentity } from '../../jobs/ports/node-identity.js';
import { NodeStore } from '../../jobs/ports/node-store.port.js';
import { LOG } from '../../telemetry/log.js';
import { Repeating } from './repeating.js';

/**
 * Attempts a job may have had when it is found with nobody who runs it. The end of a server is seldom the job's fault; a
 * job that was there at this many ends is taken to be their cause.
 */
const ATTEMPTS_OVER_RESTARTS = 20;

/** Between two looks for claims that ran out, in milliseconds; each node adds up to half as much again. */
const INTERVAL_MS = 800;

/** Takes back the jobs of servers that have ended, this one's earlier life included. */
@Injectable()
export class Rescuer {
  private readonly loop = new Repeating(() => this.rescueExpired());

  constructor(
    private readonly store: JobStore,
    private readonly nodes: NodeStore,
    private readonly events: JobEvents,
    private readonly node: NodeIdentity,
    private readonly database: DatabaseConfig,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /**
   * To be called before anything is claimed. A store of our own holds no claims but those of a life that has ended; in a
   * shared one this node takes its place, and what had its name before loses its jobs to the queue. `url`: where this node
   * answers; null: nowhere others could ask.
   */
  async takeOver(url: string | null): Promise<void> {
    if (!this.store.isShared) return this.rescue({ kind: 'all' }, 'the server ended while the attempt ran');
    const { id, name } = this.node;
    const former = await this.nodes.register({ id, name, url }, this.database.leaseMs, this.clock.now());
    if (former === null) return;
    await this.rescue({ kind: 'node', node: former }, `the node ${name} ended, or was replaced, while the attempt ran`);
  }

  /** Begins to look for claims that others let run out; a store of our own has none. */
  start(): void {
    if (this.store.isShared) this.loop.start(INTERVAL_MS);
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  private async rescueExpired(): Promise<number> {
    try {
      // A database that stood still lets everybody's claims run out, and would carry this out before their renewals: the
      // question before it is the one that hangs.
      const asked = performance.now();
      await this.nodes.list(this.clock.now());
      if (performance.now() - asked > this.database.leaseMs / 3) return this.database.leaseMs / 2;
      await this.rescue({ kind: 'expired' }, 'the node that ran it went silent');
      return INTERVAL_MS * (1 + Math.random() / 2);
    } catch (error) {
      this.log.error({ err: error }, 'claims that ran out could not be looked for');
      // The store was away, and no claim could be renewed: those who live renew theirs first once it is back.
      return this.database.leaseMs / 2;
    }
  }

  private async rescue(which: Abandoned, message: string): Promise<void> {
    const why = failure('worker_lost', message);
    const events = await this.store.reclaim(which, why, ATTEMPTS_OVER_RESTARTS, this.clock.now());
    if (events.length === 0) return;
    for (const { jobId, body } of events) {
      if (body.type !== 'state') continue;
      const fields = { job: jobId, attempt: body.attempt, state: body.state, reason: message };
      this.log.warn(fields, 'an abandoned job goes on');
    }
    this.events.publish(events);
  }
}
