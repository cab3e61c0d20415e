import { ApiError } from './api-error.js';
import { UnreachableError } from './connect-error.js';
import { parseJson } from './json.js';
import type { JobJson, ProblemJson, WorkerJson } from './wire.js';

/** Longest wait for a short answer: the server may be writing to a slow disk, or the machine be busy with a picture. */
const ANSWER_TIMEOUT_MS = 30_000;

/** The HTTP API, as far as the command line uses it. Throws ApiError for refusals and UnreachableError without an answer. */
export class ApiClient {
  /** `apiKey`: sent with every request; null: none. */
  constructor(
    readonly url: string,
    private readonly apiKey: string | null = null,
  ) {}

  /** Safe to repeat with the same key: it gives the same job. */
  async submit(body: string, idempotencyKey: string, signal?: AbortSignal): Promise<JobJson> {
    const headers = { 'content-type': 'application/json', 'idempotency-key': idempotencyKey };
    return this.json('/v1/jobs', { method: 'POST', headers, body }, signal);
  }

  async job(id: string, signal?: AbortSignal): Promise<JobJson> {
    return this.json(`/v1/jobs/${encodeURIComponent(id)}`, {}, signal);
  }

  /** The job in the very words of the server. */
  async jobText(id: string): Promise<string> {
    return this.text(`/v1/jobs/${encodeURIComponent(id)}`);
  }

  /** The debug record in the very words of the server. */
  async debugText(id: string): Promise<string> {
    return this.text(`/v1/jobs/${encodeURIComponent(id)}/debug`);
  }

  /** The list in the very words of the server. */
  async jobsText(query: { readonly state?: string | undefined; readonly limit: number }): Promise<string> {
    const parameters = new URLSearchParams({ limit: String(query.limit), ...(query.state && { state: query.state }) });
    return this.text(`/v1/jobs?${parameters.toString()}`);
  }

  /** The list of workers in the very words of the server. */
  async workersText(): Promise<string> {
    return this.text('/v1/workers');
  }

  /** Drains or starts a worker; returns how it is then, in the very words of the server. */
  async tellWorker(id: string, what: 'drain' | 'start'): Promise<string> {
    return this.text(`/v1/workers/${encodeURIComponent(id)}/${what}`, { method: 'POST' });
  }

  async cancel(id: string): Promise<JobJson> {
    return this.json(`/v1/jobs/${encodeURIComponent(id)}/cancel`, { method: 'POST' });
  }

  async workers(signal?: AbortSignal): Promise<readonly WorkerJson[]> {
    const { data } = await this.json<{ data: readonly WorkerJson[] }>('/v1/workers', {}, signal);
    return data;
  }

  /** Whether a server answers, within the given milliseconds. */
  async isAlive(timeoutMs: number): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/health/live`, { signal: AbortSignal.timeout(timeoutMs) });
      await response.body?.cancel();
      return response.ok;
    } catch {
      // Whatever went wrong, nobody lives there; who needs to know why asks for something.
      return false;
    }
  }

  /** Bytes or an event stream: the head must come soon, the body takes its time. */
  async open(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    const head = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const timely = new AbortController();
    const onLate = () => timely.abort(head.reason);
    head.addEventListener('abort', onLate);
    try {
      return await this.request(path, { headers }, AbortSignal.any([signal, timely.signal]));
    } finally {
      head.removeEventListener('abort', onLate);
    }
  }

  private async text(path: string, init: RequestInit = {}): Promise<string> {
    const response = await this.request(path, init);
    try {
      return (await response.text()).trim();
    } catch (error) {
      throw new UnreachableError(this.url, error);
    }
  }

  private async json<T>(path: string, init: RequestInit = {}, signal?: AbortSignal): Promise<T> {
    const response = await this.request(path, init, timelySignal(signal));
    try {
      return parseJson(await response.text()) as T;
    } catch (error) {
      if (signal?.aborted || !(error instanceof SyntaxError)) throw new UnreachableError(this.url, error);
      throw new ApiError(response.status, null, null);
    }
  }

  private async request(path: string, init: RequestInit = {}, signal = timelySignal()): Promise<Response> {
    let response: Response;
    try {
      const headers = new Headers(init.headers);
      if (this.apiKey !== null) headers.set('authorization', `Bearer ${this.apiKey}`);
      response = await fetch(this.url + path, { ...init, headers, signal });
    } catch (error) {
      throw new UnreachableError(this.url, error);
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

function timelySignal(signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
}

async function refusal(response: Response): Promise<ApiError> {
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json') ?? false;
  // The status says enough when the body breaks off.
  const text = await response.text().catch(() => '');
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return new ApiError(response.status, isProblem ? problemOf(text) : null, Number.isFinite(seconds) ? seconds : null);
}

function problemOf(text: string): ProblemJson | null {
  try {
    return parseJson(text) as ProblemJson;
  } catch {
    return null;
  }
}
