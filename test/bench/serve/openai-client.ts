import type { ClientTerms, DialectClient, Exchange } from './exchange.js';
import { refusedOrFailed, unanswered } from './exchange.js';
import type { HttpAnswer, HttpCalls } from './http-calls.js';
import { jsonOf } from './http-calls.js';
import type { Priority } from './mix.js';
import type { Drawing } from './plan.js';

/** `POST /v1/images/generations`; the pictures come in the answer, so their way to the client is part of its time. */
export class OpenAiClient implements DialectClient {
  private readonly calls: HttpCalls;
  private readonly terms: ClientTerms;

  constructor(calls: HttpCalls, terms: ClientTerms) {
    this.calls = calls;
    this.terms = terms;
  }

  async draw(drawing: Drawing, priority: Priority | null): Promise<Exchange> {
    const { model, timeoutSeconds } = this.terms;
    try {
      const answer = await this.calls.send({
        method: 'POST',
        path: '/v1/images/generations',
        silenceMs: timeoutSeconds * 1000,
        json: {
          ...(model === null ? {} : { model }),
          prompt: drawing.prompt,
          n: drawing.images,
          size: `${drawing.width}x${drawing.height}`,
          response_format: 'b64_json',
          output_format: 'png',
          seed: drawing.seed,
          num_inference_steps: drawing.steps,
          ...(priority === null ? {} : { priority }),
        },
      });
      return exchangeOf(answer);
    } catch (error) {
      return unanswered(error);
    }
  }
}

interface ImagesAnswer {
  readonly data?: readonly { readonly b64_json?: string | null }[];
  readonly error?: { readonly code?: string | null; readonly type?: string };
}

function exchangeOf(answer: HttpAnswer): Exchange {
  const told = jsonOf(answer) as ImagesAnswer | null;
  const { status } = answer;
  if (status !== 200) return refusedOrFailed(status, told?.error?.code ?? told?.error?.type ?? String(status));
  const files = (told?.data ?? []).flatMap(({ b64_json: file }) => (typeof file === 'string' ? [file] : []));
  if (files.length === 0) return refusedOrFailed(status, 'no_pictures');
  return {
    outcome: 'succeeded',
    reason: null,
    queueMs: null,
    pictures: () => Promise.resolve(files.map((file) => Buffer.from(file, 'base64'))),
  };
}
