import type { ClientTerms, DialectClient, Exchange } from './exchange.js';
import { refusedOrFailed, unanswered } from './exchange.js';
import type { HttpAnswer, HttpCalls } from './http-calls.js';
import { jsonOf } from './http-calls.js';
import type { Priority } from './mix.js';
import type { Drawing } from './plan.js';

/** Beyond the wait that was asked for. */
const ANSWER_GRACE_MS = 10_000;

/** What is read of a job. Times are RFC 3339. */
export interface NativeJob {
  readonly id: string;
  readonly state: string;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly attempts: readonly {
    readonly started_at: string;
    readonly finished_at: string | null;
    readonly phases: readonly {
      readonly name: string;
      readonly started_at: string;
      readonly finished_at: string | null;
    }[];
  }[];
  readonly artifacts: readonly { readonly url: string }[];
  /** What was really run; null until the end. */
  readonly effective: {
    readonly width: number;
    readonly height: number;
    readonly num_inference_steps: number;
    readonly guidance_scale: number;
    readonly device: string;
    readonly dtype: string;
  } | null;
  readonly failure: { readonly kind: string } | null;
}

/**
 * `POST /v1/jobs` with `Prefer: wait`: one exchange a job. No pace of polling is in its latency, as with looking again and
 * again, and no second connection, as with submission and a stream of events; and a generator that dies leaves no jobs
 * behind, because a waited-for job without an idempotency key ends with its client. What it costs is a connection for
 * each open job.
 */
export class NativeClient implements DialectClient {
  private readonly calls: HttpCalls;
  private readonly terms: ClientTerms;

  constructor(calls: HttpCalls, terms: ClientTerms) {
    this.calls = calls;
    this.terms = terms;
  }

  async draw(drawing: Drawing, priority: Priority | null): Promise<Exchange> {
    try {
      const answer = await this.submit(drawing, priority);
      if (answer.status !== 200 && answer.status !== 202) return refusedOrFailed(answer.status, problemOf(answer));
      return await this.ended(jobOf(answer));
    } catch (error) {
      return unanswered(error);
    }
  }

  /** Answered when the job is final, or the time is over. Rejects when no answer came. */
  submit(drawing: Drawing, priority: Priority | null): Promise<HttpAnswer> {
    const { model, timeoutSeconds } = this.terms;
    return this.calls.send({
      method: 'POST',
      path: '/v1/jobs',
      headers: { prefer: `wait=${timeoutSeconds}` },
      silenceMs: timeoutSeconds * 1000 + ANSWER_GRACE_MS,
      json: {
        ...(model === null ? {} : { model }),
        prompt: drawing.prompt,
        seed: drawing.seed,
        width: drawing.width,
        height: drawing.height,
        num_inference_steps: drawing.steps,
        num_images: drawing.images,
        ...(drawing.exact ? { exact: true } : {}),
        ...(priority === null ? {} : { priority }),
        // A smaller picture under want of memory would be another picture.
        max_degradation: 'equivalent',
      },
    });
  }

  private async ended(job: NativeJob): Promise<Exchange> {
    if (job.finished_at === null) {
      await this.calls.send({ method: 'POST', path: `/v1/jobs/${job.id}/cancel`, silenceMs: ANSWER_GRACE_MS });
      return refusedOrFailed(200, 'not_in_time');
    }
    if (job.state !== 'succeeded') return refusedOrFailed(200, job.failure?.kind ?? job.state);
    return {
      outcome: 'succeeded',
      reason: null,
      queueMs: queueMs(job),
      pictures: () => Promise.all(job.artifacts.map(({ url }) => this.file(url))),
    };
  }

  private async file(path: string): Promise<Buffer> {
    const { status, body } = await this.calls.send({ method: 'GET', path, silenceMs: ANSWER_GRACE_MS });
    if (status !== 200) throw new Error(`${path} of a succeeded job was answered with ${status}`);
    return body;
  }
}

export function jobOf({ body }: HttpAnswer): NativeJob {
  return JSON.parse(body.toString()) as NativeJob;
}

function queueMs({ created_at, started_at }: NativeJob): number | null {
  return started_at === null ? null : Date.parse(started_at) - Date.parse(created_at);
}

/** The code of a problem (RFC 9457), else the status. */
function problemOf(answer: HttpAnswer): string {
  return (jsonOf(answer) as { code?: string } | null)?.code ?? String(answer.status);
}
