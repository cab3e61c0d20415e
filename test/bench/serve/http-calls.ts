import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export interface HttpAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export interface HttpCall {
  readonly method: 'GET' | 'POST';
  /** Of the API, or a whole address that an answer named. */
  readonly path: string;
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds without a byte after which the call fails. */
  readonly silenceMs: number;
}

/** Calls of one API over connections that stay open. Plain `node:http`: `fetch` costs the generator several times as much. */
export class HttpCalls {
  private readonly base: URL;
  private readonly agent: HttpAgent;
  private readonly authorization: Readonly<Record<string, string>>;

  /** `url` may end in `/v1`, as addresses for OpenAI's clients do. */
  constructor(url: string, apiKey: string | null) {
    this.base = new URL(`${url.replace(/\/+$/, '').replace(/\/v1$/, '')}/`);
    this.agent =
      this.base.protocol === 'https:' ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
    this.authorization = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };
  }

  /** Rejects when no answer came. */
  send({ method, path, json, headers, silenceMs }: HttpCall): Promise<HttpAnswer> {
    // Relative to the base, which may have a path of its own.
    const url = new URL(path.replace(/^\//, ''), this.base);
    const body = json === undefined ? null : Buffer.from(JSON.stringify(json));
    const sent = body === null ? {} : { 'content-type': 'application/json', 'content-length': body.length };
    const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const call = request(url, { agent: this.agent, method, headers: { ...this.authorization, ...sent, ...headers } });
      call.setTimeout(silenceMs, () =>
        call.destroy(Object.assign(new Error(`${path} was not answered in time`), { code: 'client_timeout' })),
      );
      call.on('error', reject);
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      });
      call.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/** What a body says; null: it is no JSON, as those of proxies are not. */
export function jsonOf({ body }: HttpAnswer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return null;
  }
}
