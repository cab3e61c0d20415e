import { DatabaseSync } from 'node:sqlite';

import type { Cluster } from './cluster.js';

export interface AttemptRow {
  readonly jobId: string;
  readonly number: number;
  readonly node: string | null;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly outcome: string;
  readonly step: number;
  readonly resumedFromStep: number;
  readonly failure: { readonly kind: string } | null;
}

export interface JobRow {
  readonly id: string;
  readonly state: string;
  readonly createdAt: number;
  readonly finishedAt: number | null;
  readonly artifacts: number;
  readonly hasCheckpoint: boolean;
}

/** What the database holds, read past the server. */
export interface Rows {
  readonly jobs: readonly JobRow[];
  readonly attempts: readonly AttemptRow[];
  /** Idempotency key to the jobs stored for it. */
  readonly jobsByKey: ReadonlyMap<string, readonly string[]>;
  /** Job to how many final events, and events of a final state, it has. */
  readonly finals: ReadonlyMap<string, number>;
}

const JOBS = `SELECT id, state, created_at, finished_at, artifacts, checkpoint FROM job`;
const ATTEMPTS = `SELECT job_id, number, node, started_at, finished_at, outcome, step, resumed_from_step, failure FROM attempt`;
const KEYS = `SELECT idempotency_key, job_id FROM submission`;
const FINALS = `SELECT job_id, count(*) AS n FROM job_event WHERE body LIKE '%"type":"final"%' GROUP BY job_id`;

type Row = Readonly<Record<string, string | number | null>>;

/** The nodes may have stopped. */
export async function readRows(cluster: Cluster): Promise<Rows> {
  const ask = asker(cluster);
  try {
    const keys = (await ask.all(KEYS)).map((row) => [String(row['idempotency_key']), String(row['job_id'])] as const);
    return {
      jobs: (await ask.all(JOBS)).map(jobRow),
      attempts: (await ask.all(ATTEMPTS)).map(attemptRow),
      jobsByKey: new Map(
        Object.entries(Object.groupBy(keys, ([key]) => key)).map(([key, pairs]) => [key, pairs!.map(([, id]) => id)]),
      ),
      finals: new Map((await ask.all(FINALS)).map((row) => [String(row['job_id']), Number(row['n'])])),
    };
  } finally {
    ask.close();
  }
}

function asker(cluster: Cluster): { all(sql: string): Promise<readonly Row[]>; close(): void } {
  const { database } = cluster;
  if (database !== null) return { all: async (sql) => (await database.query(sql)) as Row[], close: () => undefined };
  const file = new DatabaseSync(cluster.databaseFile, { readOnly: true });
  return { all: (sql) => Promise.resolve(file.prepare(sql).all() as Row[]), close: () => file.close() };
}

function jobRow(row: Row): JobRow {
  return {
    id: String(row['id']),
    state: String(row['state']),
    createdAt: Number(row['created_at']),
    finishedAt: numberOrNull(row['finished_at']),
    artifacts: (JSON.parse(String(row['artifacts'])) as unknown[]).length,
    hasCheckpoint: row['checkpoint'] !== null,
  };
}

function attemptRow(row: Row): AttemptRow {
  return {
    jobId: String(row['job_id']),
    number: Number(row['number']),
    node: row['node'] as string | null,
    startedAt: Number(row['started_at']),
    finishedAt: numberOrNull(row['finished_at']),
    outcome: String(row['outcome']),
    step: Number(row['step']),
    resumedFromStep: Number(row['resumed_from_step'] ?? 0),
    failure: row['failure'] === null ? null : (JSON.parse(String(row['failure'])) as { kind: string }),
  };
}

const numberOrNull = (value: string | number | null | undefined) =>
  value === null || value === undefined ? null : Number(value);
