import type { Notification } from 'pg';
import { Client } from 'pg';
import type { Logger } from 'pino';

import { reconnectDelay } from './reconnect-delay.js';

/** All nodes of a database speak here. */
const CHANNEL = 'safelight';

/** Milliseconds within which the database has to take a connection, or answer one of these short statements. */
const ANSWER_MS = 5_000;

/** Milliseconds between looks whether a connection that nobody closed still leads anywhere. */
const LOOK_MS = 10_000;

/** Milliseconds the goodbye may take. */
const GOODBYE_MS = 1_000;

export interface NotifyChannelOptions {
  readonly databaseUrl: string;
  readonly log: Logger;
  readonly onPayload: (payload: string) => void;
  /** After a time without connection, in which payloads were missed. */
  readonly onReconnect: () => void;
}

/** Nobody answers at the database, or it does not let us in. */
export class EventChannelUnavailableError extends Error {
  constructor(cause: Error) {
    super(`the channel of events cannot be opened: ${cause.message}`, { cause });
    this.name = 'EventChannelUnavailableError';
  }
}

/**
 * LISTEN and NOTIFY over one connection of its own, outside any transaction; a connection that is lost is opened again, as
 * long as that takes.
 */
export class NotifyChannel {
  private client: Client | null = null;
  private looking: NodeJS.Timeout | undefined;
  private retrying: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: NotifyChannelOptions) {}

  /** Rejects with {@link EventChannelUnavailableError}. */
  async open(): Promise<void> {
    try {
      await this.connect();
    } catch (error) {
      throw new EventChannelUnavailableError(asError(error));
    }
  }

  /** True when the database has taken them; false when it has not, or when that is not known. */
  async notify(payloads: readonly string[]): Promise<boolean> {
    const { client } = this;
    if (client === null) return false;
    try {
      await client.query('SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload', [CHANNEL, payloads]);
      return true;
    } catch (error) {
      this.lose(client, asError(error));
      return false;
    }
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retrying);
    clearInterval(this.looking);
    const { client } = this;
    this.client = null;
    if (client !== null) await endWithin(client, GOODBYE_MS);
  }

  private async connect(): Promise<void> {
    const client = new Client({
      connectionString: this.options.databaseUrl,
      application_name: 'safelight events',
      keepAlive: true,
      connectionTimeoutMillis: ANSWER_MS,
      query_timeout: ANSWER_MS,
    });
    client.on('error', (error) => this.lose(client, error));
    client.on('end', () => this.lose(client, new Error('the connection ended')));
    client.on('notification', ({ payload }: Notification) => this.options.onPayload(payload ?? ''));
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
    } catch (error) {
      client.connection.stream.destroy();
      throw error;
    }
    if (this.closed) {
      await endWithin(client, GOODBYE_MS);
      return;
    }
    this.client = client;
    clearInterval(this.looking);
    this.looking = setInterval(() => void this.look(client), LOOK_MS).unref();
  }

  private async look(client: Client): Promise<void> {
    try {
      await client.query('SELECT 1');
    } catch (error) {
      this.lose(client, asError(error));
    }
  }

  private lose(client: Client, error: Error): void {
    if (this.client !== client) return;
    this.client = null;
    clearInterval(this.looking);
    client.connection.stream.destroy();
    this.options.log.warn({ err: error }, 'the channel of events is lost; it is opened again');
    this.retry(0);
  }

  private retry(failures: number): void {
    if (this.closed) return;
    const again = async () => {
      try {
        await this.connect();
      } catch (error) {
        this.options.log.debug({ err: error }, 'the channel of events is still closed');
        this.retry(failures + 1);
        return;
      }
      if (this.closed) return;
      this.options.log.info('the channel of events is open again');
      this.options.onReconnect();
    };
    this.retrying = setTimeout(() => void again(), reconnectDelay(failures, Math.random()));
  }
}

/** Says goodbye, or hangs up when nobody answers. */
async function endWithin(client: Client, ms: number): Promise<void> {
  const hangUp = setTimeout(() => client.connection.stream.destroy(), ms);
  try {
    await client.end();
  } finally {
    clearTimeout(hangUp);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
