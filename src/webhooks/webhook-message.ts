import { Webhook } from 'standardwebhooks';

import type { Job } from '../domain/job/job.js';

/** What a receiver is told: enough to fetch the rest. */
export interface WebhookPayload {
  /** `job.` and the state, such as `job.succeeded`. */
  readonly type: string;
  /** When the job became final, RFC 3339. */
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The message about a job that is final, in the words of the API. The same job gives the same bytes at every try. */
export function payloadOf(job: Job): WebhookPayload {
  const { id, state, request, failure, artifacts } = job;
  const self = `/v1/jobs/${id}`;
  return {
    type: `job.${state}`,
    timestamp: new Date(job.finishedAt ?? job.createdAt).toISOString(),
    data: {
      id,
      object: 'job',
      state,
      model: request.model,
      metadata: request.metadata,
      artifacts: artifacts.map(({ index, mediaType, width, height, bytes, sha256, seed }) => ({
        index,
        url: `${self}/artifacts/${index}`,
        media_type: mediaType,
        width,
        height,
        bytes,
        sha256,
        // As text: a seed may exceed what a JSON number holds in most languages.
        seed,
      })),
      failure: failure === null ? null : { kind: failure.kind, phase: failure.phase, message: failure.message },
      links: { self },
    },
  };
}

/**
 * Headers of Standard Webhooks for one try. The id stays the same over all tries, the time is that of the try: receivers
 * refuse what is older than some minutes.
 */
export function signedHeaders(secret: string, messageId: string, body: string, now: number): Record<string, string> {
  const at = new Date(now);
  return {
    'content-type': 'application/json',
    'webhook-id': messageId,
    'webhook-timestamp': String(Math.floor(now / 1000)),
    'webhook-signature': new Webhook(secret).sign(messageId, at, body),
  };
}
