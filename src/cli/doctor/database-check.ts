import { Client } from 'pg';

import type { Settings } from '../../config/settings.js';
import type { Finding } from './finding.js';
import { fail, ok } from './finding.js';

const CONNECT_MS = 5000;
const ANSWER_MS = 5000;

/** Oldest PostgreSQL the job store was written for, as the server numbers its versions. */
const OLDEST = 150_000;

/** Whether the database of the settings answers; nothing when there is none. */
export async function checkDatabase({ database: { url } }: Settings): Promise<Finding[]> {
  if (url === null) return [];
  const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS, query_timeout: ANSWER_MS });
  // Heard through the calls below; unheard, the event would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ number: string; version: string }>(
      `SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS version`,
    );
    const [row] = rows;
    return [describeDatabase(whereOf(url), Number(row?.number), row?.version ?? 'of unknown version')];
  } catch (error) {
    const message = `${whereOf(url)} does not answer: ${(error as Error).message}`;
    return [fail('database', message, 'start it, or correct database.url (DATABASE_URL)')];
  } finally {
    await client.end().catch(() => undefined);
  }
}

export function describeDatabase(where: string, number: number, version: string): Finding {
  if (number < OLDEST) return fail('database', `${where} is PostgreSQL ${version}`, 'use PostgreSQL 15 or newer');
  return ok('database', `${where} answers, PostgreSQL ${version}`);
}

/** Without user and password. */
function whereOf(url: string): string {
  if (!URL.canParse(url)) return 'the address';
  const { hostname, port, pathname } = new URL(url);
  return `${pathname.slice(1)} at ${hostname}:${port || '5432'}`;
}
