import { setTimeout as wait } from 'node:timers/promises';

import type { ServerEvent } from './server-events.js';
import { eventsOfText, previewOf } from './server-events.js';

/** Events not yet asked for, beyond which the oldest previews go: whoever reads is behind. */
const MAX_BACKLOG = 256;

/**
 * The events of the prompts of one client id, over a WebSocket that may break: then nothing is heard until it is opened
 * again. One reader.
 */
export class EventSocket {
  private socket: WebSocket | null = null;
  private readonly backlog: ServerEvent[] = [];
  private wake: () => void = () => undefined;

  /** @param url of the server, without a slash at the end */
  constructor(
    private readonly url: string,
    private readonly clientId: string,
    private readonly timeoutMs: number,
  ) {}

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** False: it could not be opened in time. Never throws. */
  async open(): Promise<boolean> {
    this.close();
    const socket = new WebSocket(`${this.url.replace(/^http/, 'ws')}/ws?clientId=${this.clientId}`);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.addEventListener('message', ({ data }) => this.take(data));
    socket.addEventListener('close', () => this.wake());
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const limit = setTimeout(() => resolve(false), this.timeoutMs);
    socket.addEventListener('open', () => resolve(true));
    // Node's own tells of an error without a close when it never opened.
    socket.addEventListener('error', () => resolve(false));
    const isOpen = await promise;
    clearTimeout(limit);
    if (!isOpen) this.close();
    return isOpen;
  }

  /** The next event; null: there was none in this time, the socket broke, or the signal was aborted. */
  async next(timeoutMs: number, signal: AbortSignal): Promise<ServerEvent | null> {
    const wasOpen = this.isOpen;
    if (this.backlog.length === 0 && !signal.aborted) {
      const limit = new AbortController();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.wake = resolve;
      signal.addEventListener('abort', () => resolve(), { signal: limit.signal });
      const late = wait(timeoutMs, undefined, { signal: limit.signal }).catch(() => undefined);
      // It broke between two calls: nobody was woken.
      if (!wasOpen || this.isOpen) await Promise.race([promise, late]);
      limit.abort();
      this.wake = () => undefined;
    }
    return this.backlog.shift() ?? null;
  }

  /** Safe to call twice. */
  close(): void {
    const { socket } = this;
    this.socket = null;
    if (socket !== null && socket.readyState <= WebSocket.OPEN) socket.close();
  }

  private take(data: unknown): void {
    const preview = data instanceof ArrayBuffer ? previewOf(new Uint8Array(data)) : null;
    const events = typeof data === 'string' ? eventsOfText(data) : preview === null ? [] : [preview];
    this.backlog.push(...events);
    if (this.backlog.length > MAX_BACKLOG) {
      const oldest = this.backlog.findIndex(({ type }) => type === 'preview' || type === 'progress');
      if (oldest !== -1) this.backlog.splice(oldest, 1);
    }
    if (events.length > 0) this.wake();
  }
}
