import { isNativeError } from 'node:util/types';

import type { z } from 'zod';

import type { PromptGraph } from '../workflows/graph.js';
import type { HistoryEntry, ViewedImage } from './answers.js';
import { History, Queue, Refused, Submitted, SystemStats } from './answers.js';

/** Longest JSON answer, in bytes: a history entry repeats the graph, some hundred kilobytes with long prompts. */
const MAX_JSON_BYTES = 32 * 1024 * 1024;

/** Longest picture: four times what 2048×2048 takes as a PNG that compresses nothing. */
const MAX_PICTURE_BYTES = 64 * 1024 * 1024;

/** No answer that could be used: it is not there, too slow, or no ComfyUI. */
export class ComfyUiUnreachableError extends Error {
  constructor(url: string, cause: unknown) {
    super(`ComfyUI at ${url} cannot be reached: ${reasonOf(cause)}`, { cause });
    this.name = 'ComfyUiUnreachableError';
  }
}

/** It answered, and would not run the graph. */
export class ComfyUiRefusedError extends Error {
  constructor(readonly answer: Refused) {
    super(answer.error.message);
    this.name = 'ComfyUiRefusedError';
  }
}

/** Where a prompt stands: `gone`, it is neither waiting nor running. */
export type QueuePlace =
  { readonly place: 'running' } | { readonly place: 'pending'; readonly ahead: number } | { readonly place: 'gone' };

export interface Submission {
  readonly graph: PromptGraph;
  readonly clientId: string;
  readonly promptId: string;
}

/** Speaks to a ComfyUI server over HTTP. Every call is bounded; all reject with {@link ComfyUiUnreachableError}. */
export class ComfyUiClient {
  constructor(
    /** Without a slash at the end. */
    readonly url: string,
    private readonly timeoutMs: number,
  ) {}

  async systemStats(signal: AbortSignal): Promise<SystemStats> {
    return this.read(await this.call('/system_stats', { signal }), SystemStats);
  }

  /** Returns the id the prompt has there. Rejects with {@link ComfyUiRefusedError} when the graph is not taken. */
  async submit({ graph, clientId, promptId }: Submission): Promise<string> {
    const body = {
      prompt: graph,
      client_id: clientId,
      prompt_id: promptId,
      // A frame a step costs it next to nothing, and whoever watches may come later.
      extra_data: { preview_method: 'auto' },
    };
    const response = await this.call('/prompt', post(body));
    if (response.status !== 400) return (await this.read(response, Submitted)).prompt_id;
    const refused = Refused.safeParse(await this.body(response));
    if (refused.success) throw new ComfyUiRefusedError(refused.data);
    throw new ComfyUiUnreachableError(this.url, new Error('it answered /prompt with 400 and no reason'));
  }

  /** Null: it has not ended, or is not known. */
  async history(promptId: string): Promise<HistoryEntry | null> {
    const all = await this.json(`/history/${encodeURIComponent(promptId)}`, History);
    return all[promptId] ?? null;
  }

  async placeOf(promptId: string): Promise<QueuePlace> {
    const queue = await this.json('/queue', Queue);
    if (queue.queue_running.some(([, id]) => id === promptId)) return { place: 'running' };
    // Rows of a heap: sorted only by their numbers.
    const mine = queue.queue_pending.find(([, id]) => id === promptId);
    if (mine === undefined) return { place: 'gone' };
    const before = queue.queue_pending.filter(([number]) => number < mine[0]);
    return { place: 'pending', ahead: before.length + queue.queue_running.length };
  }

  /** Takes it out of the queue, if it waits there. */
  async unqueue(promptId: string): Promise<void> {
    await this.command('/queue', { delete: [promptId] });
  }

  /** Only to be called while it runs: older versions interrupt whatever does. */
  async interrupt(promptId: string): Promise<void> {
    await this.command('/interrupt', { prompt_id: promptId });
  }

  /** `preview`: a format and quality it converts the picture to, such as `webp;90`. */
  async picture({ filename, subfolder, type }: ViewedImage, preview: string | null): Promise<Buffer> {
    const query = new URLSearchParams({ filename, subfolder, type, ...(preview !== null && { preview }) });
    const response = await this.call(`/view?${query.toString()}`, {});
    if (response.ok) return this.bytes(response, MAX_PICTURE_BYTES);
    throw new ComfyUiUnreachableError(this.url, new Error(`it answered ${response.status} for a picture it had made`));
  }

  private async command(path: string, body: object): Promise<void> {
    const response = await this.call(path, post(body));
    await this.bytes(response, MAX_JSON_BYTES);
    if (!response.ok) throw new ComfyUiUnreachableError(this.url, new Error(`${path} answered ${response.status}`));
  }

  private async json<T extends z.ZodType>(path: string, schema: T): Promise<z.infer<T>> {
    return this.read(await this.call(path, {}), schema);
  }

  private async read<T extends z.ZodType>(response: Response, schema: T): Promise<z.infer<T>> {
    const body = await this.body(response);
    const { pathname } = new URL(response.url);
    if (!response.ok) throw new ComfyUiUnreachableError(this.url, new Error(`${pathname} answered ${response.status}`));
    const parsed = schema.safeParse(body);
    if (parsed.success) return parsed.data;
    throw new ComfyUiUnreachableError(this.url, new Error(`${pathname} did not answer as ComfyUI does`));
  }

  /** Undefined: no JSON. */
  private async body(response: Response): Promise<unknown> {
    const text = (await this.bytes(response, MAX_JSON_BYTES)).toString('utf8');
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  private async bytes(response: Response, limit: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let size = 0;
    try {
      const body: AsyncIterable<Uint8Array> = response.body ?? nothing();
      for await (const part of body) {
        size += part.length;
        if (size > limit) throw new Error(`it answered with more than ${limit} bytes`);
        parts.push(part);
      }
    } catch (error) {
      throw new ComfyUiUnreachableError(this.url, error);
    }
    return Buffer.concat(parts);
  }

  /** The time holds for the body too. */
  private async call(path: string, init: RequestInit): Promise<Response> {
    try {
      const late = AbortSignal.timeout(this.timeoutMs);
      const signal = init.signal ? AbortSignal.any([init.signal, late]) : late;
      return await fetch(this.url + path, { redirect: 'error', ...init, signal });
    } catch (error) {
      throw new ComfyUiUnreachableError(this.url, error);
    }
  }
}

async function* nothing(): AsyncGenerator<never> {}

function post(body: object): RequestInit {
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

/** `fetch failed` says nothing: what failed is its cause. */
function reasonOf(error: unknown): string {
  if (!isNativeError(error)) return String(error);
  // One for each address of a name.
  const cause: unknown = error.cause instanceof AggregateError ? error.cause.errors[0] : error.cause;
  return isNativeError(cause) ? cause.message : error.message;
}
