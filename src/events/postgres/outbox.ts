import type { Logger } from 'pino';

import type { PreviewFrame } from '../../domain/job/job-event.js';
import { partsOf } from './frame-parts.js';
import type { Message } from './message.js';
import { packPayloads } from './pack-payloads.js';

/** Milliseconds messages wait for company: a statement costs the database more than what it carries. */
const COLLECT_MS = 20;

/** Messages that wait at most, about 200 B each. What comes beyond is dropped: the store holds it. */
const MOST_MESSAGES = 10_000;

/** Frames in one statement at most, 90 KB each, so that events do not queue behind pictures. */
const FRAMES_AT_ONCE = 4;

/** Milliseconds between two records of what was dropped. */
const REPORT_MS = 10_000;

export interface OutboxOptions {
  readonly sender: string;
  /** False: not sent, or it is not known. */
  readonly notify: (payloads: readonly string[]) => Promise<boolean>;
  readonly log: Logger;
}

/**
 * What this node is about to tell the others. Hints may be dropped (the database is slow, or away): they are counted, and
 * the first payload that gets through says so, whereupon the others read the store.
 */
export class Outbox {
  private messages: string[] = [];
  /** The latest frame of each job that has one to send. */
  private readonly frames = new Map<string, PreviewFrame>();
  private frameCount = 0;
  private lost = 0;
  private unreported = 0;
  private reportedAt = -Infinity;
  private timer: NodeJS.Timeout | undefined;
  private sending: Promise<void> | null = null;
  private closed = false;

  constructor(private readonly options: OutboxOptions) {}

  add(message: Message): void {
    if (this.closed) return;
    if (this.messages.length < MOST_MESSAGES) this.messages.push(JSON.stringify(message));
    else this.lose(1);
    this.plan();
  }

  addFrame(frame: PreviewFrame): void {
    if (this.closed) return;
    this.frames.set(frame.jobId, frame);
    this.plan();
  }

  /** The connection is back: what was lost meanwhile is told of. */
  resume(): void {
    if (this.lost > 0) this.plan();
  }

  /** Sends what is there, once, and takes nothing more. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.sending;
    this.frames.clear();
    await this.send();
    this.report();
  }

  private plan(): void {
    if (this.timer !== undefined || this.sending !== null || this.closed) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.sending = this.send().finally(() => {
        this.sending = null;
        if (this.messages.length > 0 || this.frames.size > 0) this.plan();
      });
    }, COLLECT_MS);
  }

  private async send(): Promise<void> {
    const { lost } = this;
    const messages = lost > 0 ? [JSON.stringify({ kind: 'gap' } satisfies Message), ...this.messages] : this.messages;
    const told = this.messages.length;
    this.messages = [];
    const { payloads, tooLarge } = packPayloads(this.options.sender, [...messages, ...this.takeFrames()]);
    if (payloads.length > 0 && (await this.options.notify(payloads))) {
      this.lost -= lost;
      if (performance.now() - this.reportedAt > REPORT_MS) this.report();
    } else {
      this.lose(told - tooLarge);
    }
    this.lose(tooLarge);
  }

  private takeFrames(): string[] {
    const taken = [...this.frames.values()].slice(0, FRAMES_AT_ONCE);
    for (const { jobId } of taken) this.frames.delete(jobId);
    return taken.flatMap((frame) => partsOf(frame, ++this.frameCount)).map((part) => JSON.stringify(part));
  }

  private lose(count: number): void {
    this.lost += count;
    this.unreported += count;
  }

  private report(): void {
    if (this.unreported === 0) return;
    this.options.log.warn(
      { dropped: this.unreported },
      'events were not told to other nodes, which read the store again',
    );
    this.unreported = 0;
    this.reportedAt = performance.now();
  }
}
