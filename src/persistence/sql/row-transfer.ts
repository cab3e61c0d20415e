import { SCHEMA_VERSION } from '../migrations/schema-version.js';
import type { Row, SqlRunner, SqlValue, Statement } from './sql-runner.js';
import { column } from './sql-runner.js';

/** A row as it stands in its table. */
export interface TransferRow {
  readonly table: string;
  readonly row: Row;
}

/** Tables whose rows belong to a job, and the column that says to which. */
const OF_A_JOB = { attempt: 'job_id', job_event: 'job_id', submission: 'job_id', webhook_delivery: 'job_id' } as const;

const TABLES: Readonly<Record<string, readonly string[]>> = {
  job: [
    ...['id', 'state', 'priority', 'model', 'request', 'sort_at', 'run_at', 'start_by', 'finish_by', 'attempt'],
    ...['lease_token', 'cancel_requested_at', 'progress', 'artifacts', 'effective', 'failure', 'created_at'],
    ...['started_at', 'finished_at', 'client', 'claimed_at', 'pixels', 'degradations', 'solo', 'avoids', 'checkpoint'],
    ...['webhook', 'trace'],
  ],
  attempt: [
    ...['job_id', 'number', 'worker', 'device', 'started_at', 'finished_at', 'phase', 'step', 'outcome', 'failure'],
    ...['phases', 'peak_memory_bytes', 'degradations', 'resumed_from_step', 'node', 'memory'],
  ],
  job_event: ['job_id', 'seq', 'at', 'body'],
  submission: ['idempotency_key', 'position', 'request_hash', 'job_id'],
  webhook_delivery: [
    ...['job_id', 'url', 'message_id', 'state', 'tries', 'next_at', 'last_status', 'last_error', 'created_at'],
  ],
  footprint: ['model', 'device_kind', 'body', 'updated_at'],
};

/** Jobs that are read at a time. */
const JOBS_A_PAGE = 100;

/** A row that is no row of ours, such as one of an export that was edited. */
export class ForeignRowError extends Error {
  constructor(reason: string) {
    super(`not a row of this schema: ${reason}`);
    this.name = 'ForeignRowError';
  }
}

/** Takes all rows out of a database, and puts them into another. */
export class RowTransfer {
  readonly schema = SCHEMA_VERSION;

  constructor(private readonly runner: SqlRunner) {}

  /** Each job, then what belongs to it; jobs in order of submission. */
  async *rows(): AsyncGenerator<TransferRow> {
    for (let after = ''; ;) {
      const jobs = await this.read({
        sql: `SELECT id FROM job WHERE id > $1 ORDER BY id LIMIT ${JOBS_A_PAGE}`,
        params: [after],
      });
      for (const { id } of jobs) yield* this.ofJob(id as string);
      const last = jobs.at(-1);
      if (last === undefined) break;
      after = last.id as string;
    }
    for (const row of await this.read({ sql: `SELECT ${columnsOf('footprint')} FROM footprint`, params: [] })) {
      yield { table: 'footprint', row };
    }
  }

  /**
   * Writes rows as {@link rows} gives them. A job that is there already stays as it is, with all that belongs to it, so that
   * this may be repeated; one that was running comes in as queued, its open attempt as given back.
   */
  async importRows(rows: AsyncIterable<TransferRow>): Promise<void> {
    let ofOne: TransferRow[] = [];
    for await (const entry of rows) {
      if (!(entry.table in OF_A_JOB)) {
        await this.write(ofOne);
        ofOne = [];
      }
      ofOne.push(entry);
    }
    await this.write(ofOne);
  }

  /** A job and what belongs to it, as of one moment: servers may work on it meanwhile. */
  private async *ofJob(id: string): AsyncGenerator<TransferRow> {
    const tables = ['job', ...Object.keys(OF_A_JOB)];
    const { rows } = await this.runner.read([
      { sql: `SELECT ${columnsOf('job')} FROM job WHERE id = $1`, params: [id] },
      ...Object.entries(OF_A_JOB).map(([table, owner]) => ({
        sql: `SELECT ${columnsOf(table)} FROM ${table} WHERE ${owner} = $1 ORDER BY ${columnNames(table)[1]}`,
        params: [id],
      })),
    ]);
    for (const [at, table] of tables.entries()) {
      for (const row of rows[at] ?? []) yield { table, row };
    }
  }

  /** A row, and those that belong to it: all or none. */
  private async write(rows: readonly TransferRow[]): Promise<void> {
    const [first, ...others] = rows.map(waiting);
    if (first === undefined) return;
    const returned = first.table === 'job' ? 'id' : columnNames(first.table)[0];
    await this.runner.run([
      { ...insertion(first), sql: `${insertion(first).sql} ON CONFLICT DO NOTHING RETURNING ${returned}` },
      ...others.map((other) => ({ ...belonging(other), forEachRowOf: 0 })),
    ]);
  }

  private async read(statement: Statement): Promise<readonly Row[]> {
    return (await this.runner.run([statement])).rows[0] ?? [];
  }
}

function columnNames(table: string): readonly string[] {
  const names = Object.hasOwn(TABLES, table) ? TABLES[table] : undefined;
  if (names === undefined) throw new ForeignRowError(`there is no table ${table}`);
  return names;
}

function columnsOf(table: string): string {
  return columnNames(table).join(', ');
}

/** Names of columns come from the list, never from the row: it may be a stranger's. */
function insertion({ table, row }: TransferRow): Statement {
  const names = columnNames(table);
  const foreign = Object.keys(row).find((name) => !names.includes(name));
  if (foreign !== undefined) throw new ForeignRowError(`${table} has no column ${foreign}`);
  const placeholders = names.map((_, index) => `$${index + 1}`);
  return {
    sql: `INSERT INTO ${table} (${names.join(', ')}) VALUES (${placeholders.join(', ')})`,
    params: names.map((name): SqlValue => row[name] ?? null),
  };
}

/** Written for the job before it, under that job's id. */
function belonging(entry: TransferRow): Statement {
  const owner = OF_A_JOB[entry.table as keyof typeof OF_A_JOB];
  const { sql, params } = insertion(entry);
  const at = columnNames(entry.table).indexOf(owner);
  const conflict = entry.table === 'submission' ? ' ON CONFLICT DO NOTHING' : '';
  return { sql: sql + conflict, params: params.map((param, index) => (index === at ? column('id') : param)) };
}

/** The row as it is with nobody at work on it. */
function waiting({ table, row }: TransferRow): TransferRow {
  if (table === 'job' && row.state === 'running') {
    const token = Number(row.lease_token) + 1;
    return { table, row: { ...row, state: 'queued', progress: null, lease_token: token } };
  }
  if (table === 'attempt' && row.outcome === 'running') {
    return { table, row: { ...row, outcome: 'returned', finished_at: row.started_at ?? null } };
  }
  return { table, row };
}
