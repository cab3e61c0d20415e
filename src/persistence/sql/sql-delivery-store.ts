import { type Delivery, type DeliveryReport, DeliveryStore } from '../../jobs/ports/delivery-store.port.js';
import type { SqlDialect } from './sql-dialect.js';
import type { Row, SqlRunner, Statement } from './sql-runner.js';

const COLUMNS = 'job_id, url, message_id, tries, created_at';

/** Longest account of a failed try that is kept, in characters. */
const MAX_ERROR_CHARS = 500;

/** Messages to webhooks as rows. They are written where jobs become final (`event-statements.ts`). */
export class SqlDeliveryStore extends DeliveryStore {
  constructor(
    private readonly runner: SqlRunner,
    private readonly dialect: SqlDialect,
  ) {
    super();
  }

  async takeDue(now: number, holdMs: number, limit: number): Promise<readonly Delivery[]> {
    const rows = await this.run({
      sql: `UPDATE webhook_delivery SET next_at = CAST($1 AS bigint) + $2
        WHERE state = 'pending' AND job_id IN (
          SELECT job_id FROM webhook_delivery WHERE state = 'pending' AND next_at <= $1
          ORDER BY next_at, job_id LIMIT $3 ${this.dialect.takeDelivery}
        )
        RETURNING ${COLUMNS}`,
      params: [now, holdMs, limit],
    });
    return rows.map(deliveryFrom);
  }

  async markDelivered(jobId: string, status: number): Promise<void> {
    await this.run({
      sql: `UPDATE webhook_delivery
        SET state = 'delivered', tries = tries + 1, next_at = NULL, last_status = $2, last_error = NULL
        WHERE job_id = $1 AND state = 'pending'`,
      params: [jobId, status],
    });
  }

  async markFailed(jobId: string, error: string, status: number | null, nextAt: number | null): Promise<void> {
    await this.run({
      sql: `UPDATE webhook_delivery
        SET state = $5, tries = tries + 1, next_at = $4, last_status = $3, last_error = $2
        WHERE job_id = $1 AND state = 'pending'`,
      params: [jobId, error.slice(0, MAX_ERROR_CHARS), status, nextAt, nextAt === null ? 'given_up' : 'pending'],
    });
  }

  async nextDueAt(): Promise<number | null> {
    const [row] = await this.run({
      sql: `SELECT min(next_at) AS at FROM webhook_delivery WHERE state = 'pending'`,
      params: [],
    });
    return (row?.at as number | null | undefined) ?? null;
  }

  async countPending(): Promise<number> {
    const [row] = await this.run({
      sql: `SELECT count(*) AS n FROM webhook_delivery WHERE state = 'pending'`,
      params: [],
    });
    return row?.n as number;
  }

  async of(jobId: string): Promise<DeliveryReport | null> {
    const [row] = await this.run({
      sql: `SELECT ${COLUMNS}, state, next_at, last_status, last_error FROM webhook_delivery WHERE job_id = $1`,
      params: [jobId],
    });
    return row === undefined ? null : reportFrom(row);
  }

  private async run(statement: Statement): Promise<readonly Row[]> {
    return (await this.runner.run([statement])).rows[0] ?? [];
  }
}

function deliveryFrom(row: Row): Delivery {
  return {
    jobId: row.job_id as string,
    url: row.url as string,
    messageId: row.message_id as string,
    tries: row.tries as number,
    createdAt: row.created_at as number,
  };
}

function reportFrom(row: Row): DeliveryReport {
  return {
    ...deliveryFrom(row),
    state: row.state as DeliveryReport['state'],
    nextAt: row.next_at as number | null,
    lastStatus: row.last_status as number | null,
    lastError: row.last_error as string | null,
  };
}
