import type { Logger } from 'pino';

import type { NodeIdentity } from '../jobs/ports/node-identity.js';
import type { ClosableJobEvents } from './closable-job-events.js';
import { InProcessJobEvents } from './in-process-job-events.js';
import { PostgresJobEvents } from './postgres/postgres-job-events.js';

export interface JobEventsOptions {
  /** Null: this node has its jobs to itself. */
  readonly databaseUrl: string | null;
  readonly node: NodeIdentity;
  readonly log: Logger;
}

/** Rejects with `EventChannelUnavailableError` when the database cannot be reached. */
export async function openJobEvents({ databaseUrl, node, log }: JobEventsOptions): Promise<ClosableJobEvents> {
  return databaseUrl === null ? new InProcessJobEvents() : PostgresJobEvents.open({ databaseUrl, node, log });
}
