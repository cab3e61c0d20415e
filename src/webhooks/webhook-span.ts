import type { Job } from '../domain/job/job.js';
import { jobSpanContext, spanIdOf } from '../telemetry/tracing/trace-context.js';
import type { FinishedSpan } from '../telemetry/tracing/tracing.js';
import type { PostResult } from './post-webhook.js';

/** `failed`: another try follows. */
export type WebhookOutcome = 'delivered' | 'failed' | 'given_up';

/** One try to deliver the message of a job. */
export interface WebhookTry {
  readonly job: Job;
  readonly url: string;
  /** From 1. */
  readonly tryNumber: number;
  /** Epoch milliseconds. */
  readonly endedAt: number;
  readonly ms: number;
  readonly result: PostResult;
}

/** A try as part of the job's trace; null: the job is not traced. */
export function webhookSpan(trial: WebhookTry, outcome: WebhookOutcome): FinishedSpan | null {
  const { job, url, tryNumber, endedAt, ms, result } = trial;
  const parent = jobSpanContext(job.id, job.trace);
  if (parent === null) return null;
  return {
    context: { ...parent, spanId: spanIdOf(job.id, 'webhook', tryNumber) },
    parent,
    name: 'webhook',
    kind: 'client',
    startedAt: endedAt - ms,
    endedAt,
    attributes: {
      'http.request.method': 'POST',
      'http.response.status_code': result.status,
      // The host alone: what stands behind it may be a secret between job and receiver.
      'server.address': new URL(url).host,
      'safelight.job.id': job.id,
      'safelight.webhook.try': tryNumber,
      'safelight.webhook.outcome': outcome,
    },
    error: result.delivered ? null : outcome,
  };
}
