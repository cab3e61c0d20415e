import { Agent, request } from 'node:http';

/** The least a picture asks for. */
const BODY = JSON.stringify({
  model: 'shapes',
  prompt: 'nothing',
  num_inference_steps: 1,
  width: 64,
  height: 64,
  seed: 1,
});

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Calls over connections that stay open. Plain `node:http`: `fetch` costs more than what is measured. */
export class Caller {
  private readonly agent: Agent;
  private readonly url: URL;

  constructor(url: string, connections: number) {
    this.url = new URL(url);
    this.agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  submit(headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.call('POST', '/v1/jobs', BODY, headers);
  }

  get(path: string): Promise<Answer> {
    return this.call('GET', path, null, {});
  }

  close(): void {
    this.agent.destroy();
  }

  private call(
    method: string,
    path: string,
    body: string | null,
    headers: Readonly<Record<string, string>>,
  ): Promise<Answer> {
    const { hostname, port } = this.url;
    const sent = body === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const call = request({ agent: this.agent, hostname, port, method, path, headers: { ...sent, ...headers } });
      call.setTimeout(60_000, () => call.destroy(new Error(`${method} ${path} was not answered within a minute`)));
      call.on('error', reject);
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      });
      call.end(body);
    });
  }
}

/** The answer, when it has the status it should have. */
export async function expecting(statuses: readonly number[], answering: Promise<Answer>): Promise<Answer> {
  const answer = await answering;
  if (!statuses.includes(answer.status)) throw new Error(`answered with ${answer.status}: ${answer.text}`);
  return answer;
}
