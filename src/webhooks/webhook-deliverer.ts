import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { WebhooksConfig } from '../config/webhooks.config.js';
import { pauseAfterTry } from '../domain/webhooks/retry-schedule.js';
import { Clock } from '../jobs/ports/clock.port.js';
import type { Delivery } from '../jobs/ports/delivery-store.port.js';
import { DeliveryStore } from '../jobs/ports/delivery-store.port.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { LOG } from '../telemetry/log.js';
import { Occurrences } from '../telemetry/occurrences.js';
import { Tracing } from '../telemetry/tracing/tracing.js';
import { postWebhook } from './post-webhook.js';
import { LONGEST_WAIT_MS, ReceiverTurns } from './receiver-turns.js';
import { payloadOf, signedHeaders } from './webhook-message.js';
import type { WebhookOutcome, WebhookTry } from './webhook-span.js';
import { webhookSpan } from './webhook-span.js';

/** Messages held at a time, on their way or waiting for their turn: more than a few silent receivers fill. */
const MOST_HELD = 256;

/** Longest sleep in milliseconds: finds what another node left when it died. */
const LONGEST_SLEEP_MS = 10_000;

/** Pause after the store failed, in milliseconds. */
const STORE_PAUSE_MS = 1000;

/** Longer than the wait for a turn and a try by this much, in milliseconds, a message is held: its outcome is written too. */
const HOLD_MARGIN_MS = 30_000;

/**
 * Delivers the messages of final jobs. The store holds them, written with the job's final state, so a crash loses none; it
 * may repeat one, which the receiver tells by its id.
 */
@Injectable()
export class WebhookDeliverer {
  private timer: NodeJS.Timeout | undefined;
  /** When the timer goes off, on the clock of `performance.now()`. */
  private timerAt = Infinity;
  private readonly turns = new ReceiverTurns();
  private unsubscribe: (() => void) | null = null;
  private readonly shutdown = new AbortController();
  private readonly underWay = new Set<Promise<void>>();
  private taking: Promise<void> = Promise.resolve();

  constructor(
    private readonly deliveries: DeliveryStore,
    private readonly jobs: JobStore,
    private readonly events: JobEvents,
    private readonly clock: Clock,
    private readonly config: WebhooksConfig,
    private readonly occurrences: Occurrences,
    private readonly tracing: Tracing,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** Does nothing without a secret: jobs that name a webhook are refused then, and older messages wait for one. */
  start(): void {
    if (this.config.secret === null) return;
    this.unsubscribe = this.events.onAny(({ body }, origin) => {
      if (body.type === 'final' && origin === 'here') this.plan(0);
    });
    this.plan(0);
  }

  /** Breaks off what is on its way; it is tried again after the next start. Safe to call twice. */
  async stop(): Promise<void> {
    this.unsubscribe?.();
    this.unsubscribe = null;
    clearTimeout(this.timer);
    this.shutdown.abort();
    await this.taking;
    await Promise.allSettled(this.underWay);
  }

  /** Looks again in this time, unless that is to happen sooner anyway. */
  private plan(ms: number): void {
    const at = performance.now() + ms;
    if (this.unsubscribe === null || this.timerAt <= at) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(() => {
      this.timerAt = Infinity;
      this.taking = this.taking.then(() => this.take());
    }, ms);
  }

  /** Takes as many messages as there is room for; each that ends makes room and looks again. */
  private async take(): Promise<void> {
    const room = MOST_HELD - this.underWay.size;
    if (room <= 0 || this.unsubscribe === null) return;
    let sleepMs = STORE_PAUSE_MS;
    try {
      const holdMs = LONGEST_WAIT_MS + this.config.timeoutMs + HOLD_MARGIN_MS;
      const taken = await this.deliveries.takeDue(this.clock.now(), holdMs, room);
      for (const delivery of taken) this.send(delivery);
      const nextAt = await this.deliveries.nextDueAt();
      sleepMs = nextAt === null ? LONGEST_SLEEP_MS : Math.min(LONGEST_SLEEP_MS, Math.max(1, nextAt - this.clock.now()));
    } catch (error) {
      this.log.error({ err: error }, 'webhook messages could not be taken');
    }
    this.plan(sleepMs);
  }

  private send(delivery: Delivery): void {
    const sending = this.deliver(delivery)
      .catch((error: unknown) => {
        // It stays pending and is due again once nobody holds it any more.
        this.log.error({ err: error, job: delivery.jobId }, 'the outcome of a webhook message could not be stored');
      })
      .finally(() => {
        this.underWay.delete(sending);
        this.plan(0);
      });
    this.underWay.add(sending);
  }

  private async deliver(delivery: Delivery): Promise<void> {
    const endTurn = await this.turns.take(delivery.url, this.shutdown.signal);
    // Nothing was tried, so nothing is written: it is due again once nobody holds it any more.
    if (endTurn === null) return;
    try {
      await this.tryOnce(delivery);
    } finally {
      endTurn();
    }
  }

  private async tryOnce({ jobId, url, messageId, tries }: Delivery): Promise<void> {
    const job = await this.jobs.get(jobId);
    // Retention took job and message in between.
    if (job === null) return;
    const body = JSON.stringify(payloadOf(job));
    const { secret, timeoutMs, allowPrivateAddresses } = this.config;
    const headers = signedHeaders(secret as string, messageId, body, this.clock.now());
    const { signal } = this.shutdown;
    const beganAt = performance.now();
    const result = await postWebhook(url, { headers, body, timeoutMs, allowPrivateAddresses, signal });
    if (signal.aborted && !result.delivered) return;
    const now = this.clock.now();
    const ms = performance.now() - beganAt;
    const trial: WebhookTry = { job, url, tryNumber: tries + 1, endedAt: Date.now(), ms, result };
    if (result.delivered) {
      this.tell(trial, 'delivered');
      await this.deliveries.markDelivered(jobId, result.status);
      this.log.info({ job: jobId, status: result.status, tries: tries + 1 }, 'webhook message delivered');
      return;
    }
    // 410 is a receiver's way to say that it wants no more.
    const pause = result.status === 410 ? null : pauseAfterTry(tries + 1, result.retryAfterMs, Math.random());
    this.tell(trial, pause === null ? 'given_up' : 'failed');
    await this.deliveries.markFailed(jobId, result.error, result.status, pause === null ? null : now + pause);
    const { error } = result;
    this.log.warn({ job: jobId, error, tries: tries + 1, retryInMs: pause }, 'webhook message was not taken');
  }

  private tell(trial: WebhookTry, outcome: WebhookOutcome): void {
    this.occurrences.note({ type: 'webhook', outcome, ms: trial.ms });
    const span = webhookSpan(trial, outcome);
    if (span !== null) this.tracing.record(span);
  }
}
