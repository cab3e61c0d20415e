import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import type { ComfyUiConfig } from '../config/comfyui.config.js';
import type { AttemptEvent } from '../dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../domain/generation/execution-plan.js';
import type { Failure } from '../domain/failure/failure.js';
import { failure } from '../domain/failure/failure.js';
import { AttemptProgress } from './attempt-progress.js';
import type { HistoryEntry } from './client/answers.js';
import { ExecutionError } from './client/answers.js';
import type { ComfyUiClient } from './client/comfyui-client.js';
import { ComfyUiRefusedError, ComfyUiUnreachableError } from './client/comfyui-client.js';
import { EventSocket } from './client/event-socket.js';
import type { ServerEvent } from './client/server-events.js';
import { executionFailure, refusalFailure } from './failures.js';
import { withdraw } from './withdraw.js';
import type { Workflow } from './workflows/workflow.js';

/** Between two looks at queue and history, in milliseconds: while the socket tells, and while it is broken. */
const POLL_MS = { told: 5000, deaf: 500 } as const;

/** The history is written right after the last event: looked for this often, in milliseconds. */
const ENDED_POLL_MS = 50;

/** Largest preview passed on, as for workers: it goes through the database when nodes share one. */
const MAX_PREVIEW_BYTES = 64 * 1024;

/** How a prompt ended. */
export type PromptEnd =
  | { readonly type: 'done'; readonly entry: HistoryEntry }
  | { readonly type: 'failed'; readonly failure: Failure }
  /** Nothing of it is left there, as far as it could be reached. */
  | { readonly type: 'stopped' };

export interface PromptRunOptions {
  readonly client: ComfyUiClient;
  readonly config: ComfyUiConfig;
  readonly workflow: Workflow;
  readonly plan: ExecutionPlan;
  /** Aborted: it is to be called off. */
  readonly stop: AbortSignal;
  /** Milliseconds between preview frames, asked for at each; 0: none. */
  readonly previewIntervalMs: () => number;
  readonly log: Logger;
}

/** One prompt on a ComfyUI server, from its submission until it is in the history there, or gone. */
export class PromptRun {
  readonly progress: AttemptProgress;
  /** Also the id of its events: the server sends a prompt's to the client that submitted it. */
  private promptId: string = randomUUID();
  private readonly socket: EventSocket;
  private isSubmitted = false;
  private isRunning = false;
  private hasEnded = false;
  /** In performance.now() milliseconds: since when it waits, when it last moved, when the server was last heard. */
  private waitsSince = 0;
  private movedAt = 0;
  private heardAt = 0;
  private ahead = Number.POSITIVE_INFINITY;
  private previewedAt = Number.NEGATIVE_INFINITY;
  private misses = 0;

  constructor(private readonly options: PromptRunOptions) {
    const { client, config, workflow, plan } = options;
    this.progress = new AttemptProgress(workflow, plan.numInferenceSteps);
    this.socket = new EventSocket(client.url, this.promptId, config.requestTimeoutMs);
  }

  /** Events of the attempt while it runs; returns how it ended. Never throws what the server or the way to it is to blame for. */
  async *play(): AsyncGenerator<AttemptEvent, PromptEnd> {
    const { stop } = this.options;
    try {
      await this.socket.open();
      const refusal = await this.submit();
      if (refusal !== null) return { type: 'failed', failure: refusal };
      yield { type: 'accepted' };
      let end: PromptEnd | null = null;
      let polledAt = performance.now();
      while (end === null) {
        if (stop.aborted) return { type: 'stopped' };
        const pause = this.socket.isOpen && this.misses === 0 ? POLL_MS.told : POLL_MS.deaf;
        const event = await this.socket.next(Math.max(0, polledAt + pause - performance.now()), stop);
        if (event !== null) {
          const taken = this.take(event);
          yield* taken.events;
          end = taken.hasEnded ? await this.ended() : taken.end;
        }
        if (end === null && !stop.aborted && performance.now() - polledAt >= pause) {
          end = await this.poll();
          polledAt = performance.now();
        }
        end ??= this.overdue();
      }
      return end;
    } finally {
      this.socket.close();
      // Whoever left before the end leaves nothing behind that still draws.
      if (this.isSubmitted && !this.hasEnded) await withdraw(this.options.client, this.promptId, this.options.log);
    }
  }

  private async submit(): Promise<Failure | null> {
    const { client, workflow } = this.options;
    // Before it is known whether it arrived.
    this.isSubmitted = true;
    const clientId = this.promptId;
    try {
      this.promptId = await client.submit({ graph: workflow.graph, clientId, promptId: this.promptId });
      this.waitsSince = this.movedAt = this.heardAt = performance.now();
      return null;
    } catch (error) {
      if (error instanceof ComfyUiRefusedError) {
        this.isSubmitted = false;
        return refusalFailure(error.answer);
      }
      if (error instanceof ComfyUiUnreachableError) return failure('worker_lost', error.message);
      throw error;
    }
  }

  private take(event: ServerEvent): {
    readonly events: readonly AttemptEvent[];
    readonly end: PromptEnd | null;
    /** It is, or is about to be, in the history. */
    readonly hasEnded: boolean;
  } {
    const told = (events: readonly AttemptEvent[]) => ({ events, end: null, hasEnded: false });
    const now = performance.now();
    this.heardAt = now;
    if (event.type === 'preview') {
      this.movedAt = now;
      return told(this.previews(event));
    }
    if (event.promptId !== null && event.promptId !== this.promptId) return told([]);
    this.isRunning = true;
    this.movedAt = now;
    switch (event.type) {
      case 'started':
        return told([]);
      case 'cached':
        this.progress.skip(event.nodes);
        return told([]);
      case 'executing':
        if (event.node === null) return { events: [], end: null, hasEnded: true };
        return told(this.progress.begin(event.node, Date.now()));
      case 'progress':
        return told(this.progress.advance(event.node, event.value, event.max, Date.now()));
      case 'succeeded':
        return { events: [], end: null, hasEnded: true };
      case 'failed':
        this.hasEnded = true;
        return { ...told([]), end: { type: 'failed', failure: executionFailure(event.error, this.where) } };
      case 'interrupted':
        this.hasEnded = true;
        return { ...told([]), end: { type: 'failed', failure: this.interrupted() } };
    }
  }

  private get where() {
    return { phase: this.progress.phase, step: this.progress.step };
  }

  private interrupted(): Failure {
    return failure('internal', 'somebody interrupted it on the ComfyUI server', this.where);
  }

  private previews({ mediaType, data }: Extract<ServerEvent, { type: 'preview' }>): readonly AttemptEvent[] {
    const now = performance.now();
    const interval = this.options.previewIntervalMs();
    const isDue = interval > 0 && now - this.previewedAt >= interval;
    if (!isDue || data.length > MAX_PREVIEW_BYTES) return [];
    this.previewedAt = now;
    return [{ type: 'preview', step: this.progress.step, mediaType, data }];
  }

  /** The socket says that it is over; the history follows. */
  private async ended(): Promise<PromptEnd | null> {
    const limit = performance.now() + this.options.config.requestTimeoutMs;
    while (performance.now() < limit && !this.options.stop.aborted) {
      const end = await this.inHistory().catch(() => null);
      if (end !== null) return end;
      await wait(ENDED_POLL_MS);
    }
    return null;
  }

  private async inHistory(): Promise<PromptEnd | null> {
    const entry = await this.options.client.history(this.promptId);
    this.heardAt = performance.now();
    if (entry === null) return null;
    this.hasEnded = true;
    const messages = new Map(entry.status?.messages ?? []);
    if (messages.has('execution_interrupted')) return { type: 'failed', failure: this.interrupted() };
    if (entry.status?.completed !== false) return { type: 'done', entry };
    const told = ExecutionError.safeParse(messages.get('execution_error') ?? {});
    const error = told.success ? told.data : ExecutionError.parse({});
    return { type: 'failed', failure: executionFailure(error, this.where) };
  }

  /** Looks by itself: what the socket tells may have been lost. */
  private async poll(): Promise<PromptEnd | null> {
    const { client, log } = this.options;
    try {
      const end = await this.inHistory();
      if (end !== null) return end;
      const found = await client.placeOf(this.promptId);
      // It may have ended between the two questions: twice nowhere is nowhere.
      this.misses = found.place === 'gone' ? this.misses + 1 : 0;
      if (this.misses > 1) {
        this.hasEnded = true;
        return { type: 'failed', failure: failure('worker_lost', 'ComfyUI has lost the prompt', this.where) };
      }
      if (found.place === 'pending' && found.ahead < this.ahead) {
        this.ahead = found.ahead;
        this.movedAt = performance.now();
      }
      if (found.place === 'running' && !this.isRunning) {
        this.isRunning = true;
        this.movedAt = performance.now();
      }
      if (!this.socket.isOpen) await this.socket.open();
    } catch (error) {
      if (!(error instanceof ComfyUiUnreachableError)) throw error;
      log.debug({ err: error }, 'ComfyUI could not be asked about a prompt');
    }
    return null;
  }

  /** Bounds of all waiting. */
  private overdue(): PromptEnd | null {
    const { lostTimeoutMs, queueTimeoutMs, stallTimeoutMs } = this.options.config;
    const { url } = this.options.client;
    const now = performance.now();
    const fail = (kind: 'worker_lost' | 'worker_hung', message: string): PromptEnd => ({
      type: 'failed',
      failure: failure(kind, message, this.where),
    });
    if (now - this.heardAt >= lostTimeoutMs)
      return fail('worker_lost', `ComfyUI at ${url} was out of reach for ${seconds(lostTimeoutMs)} while it drew`);
    if (!this.isRunning && now - this.waitsSince >= queueTimeoutMs)
      return fail('worker_hung', `ComfyUI at ${url} did not begin within ${seconds(queueTimeoutMs)}`);
    if (this.isRunning && now - this.movedAt >= stallTimeoutMs)
      return fail('worker_hung', `ComfyUI at ${url} stood still for ${seconds(stallTimeoutMs)}`);
    return null;
  }
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}
