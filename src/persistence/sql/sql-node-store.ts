import type { NodeDescription } from '../../domain/placement/node-description.js';
import { type NodeReport, NodeStore } from '../../jobs/ports/node-store.port.js';
import type { SqlDialect } from './sql-dialect.js';
import type { Row, SqlRunner } from './sql-runner.js';

/** Time after which a node that went silent is deleted, in milliseconds: its claims ran out long ago, and names may be made up. */
const FORGOTTEN_AFTER_MS = 24 * 60 * 60 * 1000;

/** The nodes as rows, one a name. */
export class SqlNodeStore extends NodeStore {
  constructor(
    private readonly runner: SqlRunner,
    private readonly dialect: SqlDialect,
  ) {
    super();
  }

  async register(
    { id, name, url }: { id: string; name: string; url: string | null },
    leaseMs: number,
    now: number,
  ): Promise<string | null> {
    const clock = (placeholder: string) => this.dialect.leaseClock(placeholder);
    const { rows } = await this.runner.run([
      // Holds the row and tells whose it is: the next of that name waits, and then finds this one.
      {
        sql: `INSERT INTO node (name, id, url, state, started_at, seen_at, lease_until)
          VALUES ($1, $2, $3, 'serving', $4, $4, ${clock('$4')} + $5)
          ON CONFLICT (name) DO UPDATE SET name = excluded.name
          RETURNING id`,
        params: [name, id, url, now, leaseMs],
      },
      {
        sql: `UPDATE node SET id = $2, url = $3, state = 'serving', workers = '[]', started_at = $4, seen_at = $4,
            lease_until = ${clock('$4')} + $5
          WHERE name = $1`,
        params: [name, id, url, now, leaseMs],
      },
      {
        sql: `DELETE FROM node WHERE name <> $1 AND lease_until < ${clock('CAST($2 AS bigint)')} - ${FORGOTTEN_AFTER_MS}`,
        params: [name, now],
      },
    ]);
    const holder = rows[0]?.[0]?.id as string;
    return holder === id ? null : holder;
  }

  async renew(id: string, { state, workers }: NodeReport, leaseMs: number, now: number): Promise<boolean> {
    const { rows } = await this.runner.run([
      {
        sql: `UPDATE node SET state = $2, workers = $3, seen_at = $4, lease_until = ${this.dialect.leaseClock('$4')} + $5
          WHERE id = $1 RETURNING id`,
        params: [id, state, JSON.stringify(workers), now, leaseMs],
      },
    ]);
    return (rows[0]?.length ?? 0) > 0;
  }

  async list(now: number): Promise<readonly NodeDescription[]> {
    const { rows } = await this.runner.run([
      {
        sql: `SELECT name, id, url, state, workers, started_at, seen_at FROM node
          WHERE lease_until >= ${this.dialect.leaseClock('CAST($1 AS bigint)')} ORDER BY name`,
        params: [now],
      },
    ]);
    return (rows[0] ?? []).map(nodeFrom);
  }

  async forget(id: string): Promise<void> {
    await this.runner.run([{ sql: 'DELETE FROM node WHERE id = $1', params: [id] }]);
  }
}

function nodeFrom(row: Row): NodeDescription {
  return {
    id: row.id as string,
    name: row.name as string,
    url: row.url as string | null,
    state: row.state as NodeDescription['state'],
    workers: JSON.parse(row.workers as string) as NodeDescription['workers'],
    startedAt: row.started_at as number,
    seenAt: row.seen_at as number,
  };
}
