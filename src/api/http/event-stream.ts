import { once } from 'node:events';

import type { Response } from 'express';

/** Proxies and load balancers close a connection that is silent for a minute, some for thirty seconds. */
export const HEARTBEAT_MS = 15_000;

export interface StreamEvent {
  /** Absent: an event that cannot be resumed from. */
  readonly id?: number;
  readonly event: string;
  readonly data: unknown;
}

/**
 * Writes server-sent events, one at a time as fast as the client reads, and a comment when nothing else was to be said.
 * Nest's `@Sse` cannot slow its source down: it queues up to 4 MB per client and then drops it.
 */
export class EventStream {
  private readonly heartbeat: NodeJS.Timeout;

  constructor(
    private readonly response: Response,
    private readonly signal: AbortSignal,
  ) {
    response.status(200);
    response.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
    response.setHeader('Cache-Control', 'no-store');
    // nginx would hold events back until its buffer is full.
    response.setHeader('X-Accel-Buffering', 'no');
    response.flushHeaders();
    this.heartbeat = setInterval(() => this.beat(), HEARTBEAT_MS);
  }

  /** Resolves when the client can take more; rejects with an AbortError when it has gone. */
  async send({ id, event, data }: StreamEvent): Promise<void> {
    this.signal.throwIfAborted();
    const idLine = id === undefined ? '' : `id: ${id}\n`;
    // JSON has no line breaks of its own, so one data line holds all of it.
    const fits = this.response.write(`${idLine}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    if (!fits) await once(this.response, 'drain', { signal: this.signal });
  }

  /** Ends the answer. Safe to call twice. */
  end(): void {
    clearInterval(this.heartbeat);
    this.response.end();
  }

  /** Breaks the answer off, so that the client learns that it is not whole. Safe to call twice. */
  cut(): void {
    clearInterval(this.heartbeat);
    this.response.destroy();
  }

  private beat(): void {
    if (!this.response.writableNeedDrain) this.response.write(': keep-alive\n\n');
  }
}
