import type { Logger } from 'pino';

import type { JobEvent, PreviewFrame } from '../../domain/job/job-event.js';
import type { EventOrigin } from '../../jobs/ports/job-events.port.js';
import type { NodeIdentity } from '../../jobs/ports/node-identity.js';
import { ClosableJobEvents } from '../closable-job-events.js';
import { InProcessJobEvents } from '../in-process-job-events.js';
import { FrameAssembly } from './frame-parts.js';
import { InterestElsewhere } from './interest-elsewhere.js';
import type { Message } from './message.js';
import { isFrom, messagesOf } from './message.js';
import { NotifyChannel } from './notify-channel.js';
import { Outbox } from './outbox.js';
import { OwnInterest } from './own-interest.js';
import { ProgressPace } from './progress-pace.js';

/** Milliseconds for what is still to be told when the node stops. */
const LAST_WORDS_MS = 2_000;

export interface PostgresJobEventsOptions {
  readonly databaseUrl: string;
  readonly node: NodeIdentity;
  readonly log: Logger;
}

/**
 * Events between the nodes of a database. Here they are told at once; elsewhere after what the channel takes, some tens of
 * milliseconds. Frames travel only while somebody elsewhere watches.
 */
export class PostgresJobEvents extends ClosableJobEvents {
  private readonly local = new InProcessJobEvents();
  private readonly channel: NotifyChannel;
  private readonly outbox: Outbox;
  private readonly progress: ProgressPace;
  private readonly ownInterest: OwnInterest;
  private readonly elsewhere: InterestElsewhere;
  private readonly frames = new FrameAssembly();
  private closing: Promise<void> | null = null;

  private constructor(private readonly options: PostgresJobEventsOptions) {
    super();
    const { databaseUrl, node, log } = options;
    this.channel = new NotifyChannel({
      databaseUrl,
      log,
      onPayload: (payload) => this.hear(payload),
      onReconnect: () => this.catchUp(),
    });
    this.outbox = new Outbox({ sender: node.id, notify: (payloads) => this.channel.notify(payloads), log });
    this.progress = new ProgressPace((event) => this.outbox.add({ kind: 'event', event }));
    this.ownInterest = new OwnInterest((message) => this.outbox.add(message));
    this.elsewhere = new InterestElsewhere((jobId) => this.local.onPreview(jobId, () => undefined));
  }

  /** Rejects with `EventChannelUnavailableError`. */
  static async open(options: PostgresJobEventsOptions): Promise<PostgresJobEvents> {
    const events = new PostgresJobEvents(options);
    await events.channel.open();
    return events;
  }

  publish(events: readonly JobEvent[]): void {
    this.local.publish(events);
    for (const event of events) {
      if (event.body.type === 'progress') {
        this.progress.offer(event);
      } else {
        this.progress.supersede(event.jobId);
        this.outbox.add({ kind: 'event', event });
      }
    }
  }

  publishPreview(frame: PreviewFrame): void {
    this.local.publishPreview(frame);
    if (this.elsewhere.has(frame.jobId)) this.outbox.addFrame(frame);
  }

  publishCancel(jobId: string): void {
    this.local.publishCancel(jobId);
    this.outbox.add({ kind: 'cancel', job: jobId });
  }

  onJob(jobId: string, listener: (event: JobEvent) => void): () => void {
    return this.local.onJob(jobId, listener);
  }

  onAny(listener: (event: JobEvent, origin: EventOrigin) => void): () => void {
    return this.local.onAny(listener);
  }

  onGap(listener: () => void): () => void {
    return this.local.onGap(listener);
  }

  onCancel(listener: (jobId: string) => void): () => void {
    return this.local.onCancel(listener);
  }

  onPreview(jobId: string, listener: (frame: PreviewFrame) => void): () => void {
    const leave = this.local.onPreview(jobId, listener);
    const loseInterest = this.ownInterest.enter(jobId);
    return () => {
      leave();
      loseInterest();
      if (!this.ownInterest.has(jobId)) this.frames.forget(jobId);
    };
  }

  previewsWatched(jobId: string): boolean {
    return this.local.previewsWatched(jobId);
  }

  onPreviewsWatched(jobId: string, listener: (watched: boolean) => void): () => void {
    return this.local.onPreviewsWatched(jobId, listener);
  }

  latestPreview(jobId: string): PreviewFrame | null {
    return this.local.latestPreview(jobId);
  }

  close(): Promise<void> {
    this.closing ??= this.closeOnce();
    return this.closing;
  }

  private async closeOnce(): Promise<void> {
    this.progress.stop();
    this.ownInterest.stop();
    this.elsewhere.stop();
    // A database that does not answer keeps nobody: hanging up ends what is being sent.
    const hangUp = setTimeout(() => void this.channel.close(), LAST_WORDS_MS);
    await this.outbox.close();
    clearTimeout(hangUp);
    await this.channel.close();
  }

  /** Both directions had a gap: what was told here while the connection was away went nowhere. */
  private catchUp(): void {
    this.ownInterest.repeat();
    this.outbox.resume();
    this.local.publishGap();
  }

  private hear(payload: string): void {
    if (this.closing !== null || isFrom(this.options.node.id, payload)) return;
    const { sender, messages, unknown } = messagesOf(payload);
    if (unknown > 0) this.options.log.debug({ sender, unknown }, 'messages of another version were passed over');
    for (const message of messages) this.take(sender, message);
  }

  private take(sender: string, message: Message): void {
    switch (message.kind) {
      case 'event':
        this.local.publish([message.event], 'elsewhere');
        return;
      case 'cancel':
        this.local.publishCancel(message.job);
        return;
      case 'watch':
        this.elsewhere.heard(sender, message.jobs, message.on);
        return;
      case 'frame': {
        const frame = this.ownInterest.has(message.job) ? this.frames.add(sender, message) : null;
        if (frame !== null) this.local.publishPreview(frame);
        return;
      }
      case 'gap':
        this.local.publishGap();
        return;
    }
  }
}
