import type { ClientReadableStream, ClientUnaryCall, ServiceError } from '@grpc/grpc-js';
import { credentials, Metadata, status } from '@grpc/grpc-js';

import type { AttemptEvent } from '../../dispatch/ports/worker-pool.port.js';
import { isTerminal } from '../../dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { Device } from '../../domain/placement/device.js';
import type { ModelFootprint } from '../../domain/placement/footprint.js';
import type * as pb from '../../gen/safelight/worker/v1/worker.pb.js';
import { WorkerServiceClient } from '../../gen/safelight/worker/v1/worker.pb.js';
import type { WorkerHealth } from './mapping.js';
import { eventFromWire, footprintFromWire, healthFromWire } from './mapping.js';
import type { LoadableModel } from './plan-to-wire.js';
import { loadRequest, planToWire } from './plan-to-wire.js';

/** Time a call that never waits for the engine may take, in milliseconds. */
const CONTROL_TIMEOUT_MS = 5000;

/** How a model is asked for. */
export interface LoadOptions {
  readonly timeoutMs: number;
  /** Nothing is loaded: the call fails when the model is not on the device. */
  readonly onlyIfLoaded: boolean;
}

/** What ends an attempt from our side. */
export interface RunSignals {
  /** Asks the worker to cancel, and leaves the stream after a bound when the worker does not end it. */
  readonly cancel: AbortSignal;
  /** Leaves the stream at once; its reason is thrown. */
  readonly leave: AbortSignal;
}

/** How long a cancelled attempt may take to end before it is left behind: one step on a slow device, with a margin. */
const CANCEL_TIMEOUT_MS = 30_000;

/** Frames carry previews and numbers only; this is far above the 64 KiB a preview may have. */
const MAX_MESSAGE_BYTES = 1 << 20;

/** The stream to the worker broke: it died, or speaks another protocol. */
export class WorkerConnectionError extends Error {
  constructor(cause: unknown) {
    super(`the connection to the worker broke: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = 'WorkerConnectionError';
  }
}

/** A cancelled attempt has not ended in time and was left: what the engine does for it may still go on. */
export class CancelOverdueError extends Error {
  constructor(timeoutMs: number) {
    super(`the worker did not end a cancelled attempt within ${timeoutMs} ms`);
    this.name = 'CancelOverdueError';
  }
}

/**
 * Lets a call whose last event was read end by itself, within a bound: the worker is about to end it, and a cancel would cost
 * an error, with the stack it was made at, for each attempt.
 */
function letEnd(call: ClientReadableStream<unknown>): void {
  const limit = setTimeout(() => call.cancel(), CONTROL_TIMEOUT_MS).unref();
  call.on('status', () => clearTimeout(limit));
  call.resume();
}

/** A unary method of the generated client. */
type Unary<Q, R> = (
  request: Q,
  metadata: Metadata,
  options: { deadline: number },
  callback: (error: ServiceError | null, response: R) => void,
) => ClientUnaryCall;

/** Speaks to one incarnation of a worker; a restarted worker gets a new client. */
export class WorkerClient {
  private readonly client: WorkerServiceClient;

  constructor(
    address: string,
    private readonly device: Device,
    private readonly cancelTimeoutMs = CANCEL_TIMEOUT_MS,
  ) {
    this.client = new WorkerServiceClient(address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.enable_retries': 0,
    });
  }

  describe(): Promise<pb.DescribeResponse> {
    return unary((...args) => this.client.describe(...args), {}, CONTROL_TIMEOUT_MS);
  }

  async health(timeoutMs: number): Promise<WorkerHealth> {
    const answer: Promise<pb.GetHealthResponse> = unary((...args) => this.client.getHealth(...args), {}, timeoutMs);
    return healthFromWire(await answer);
  }

  /** What the worker found out about the model; null: it does not say. */
  async loadModel(
    wanted: LoadableModel,
    { timeoutMs, onlyIfLoaded }: LoadOptions,
  ): Promise<Omit<ModelFootprint, 'overruns'> | null> {
    const request = { ...loadRequest(wanted), onlyIfLoaded };
    const answer: Promise<pb.LoadModelResponse> = unary(
      (...args) => this.client.loadModel(...args),
      request,
      timeoutMs,
    );
    const { model } = await answer;
    return model === undefined ? null : footprintFromWire(model, this.device);
  }

  suspend(attemptId: string): Promise<pb.SuspendResponse> {
    return unary((...args) => this.client.suspend(...args), { attemptId }, CONTROL_TIMEOUT_MS);
  }

  setPreviews(attemptId: string, intervalMs: number): Promise<pb.SetPreviewsResponse> {
    return unary((...args) => this.client.setPreviews(...args), { attemptId, intervalMs }, CONTROL_TIMEOUT_MS);
  }

  /**
   * Events of an attempt up to its terminal one. Throws {@link WorkerConnectionError} when the stream breaks,
   * {@link CancelOverdueError} when the worker does not let go of what was cancelled.
   */
  async *run(plan: ExecutionPlan, { cancel, leave }: RunSignals): AsyncGenerator<AttemptEvent> {
    const call = this.client.run({ plan: planToWire(plan) });
    // Without a listener an error after the last read would be an uncaught exception.
    call.on('error', () => undefined);
    let accepted = false;
    let overdue = false;
    let hasEnded = false;
    let limit: NodeJS.Timeout | undefined;
    const onCancel = () => {
      // Before it has the attempt the worker would not know what to cancel: then `accepted` is the moment.
      if (accepted) this.cancel(plan.attemptId);
      limit = setTimeout(() => {
        overdue = true;
        call.cancel();
      }, this.cancelTimeoutMs);
    };
    const onLeave = () => call.cancel();
    cancel.addEventListener('abort', onCancel);
    leave.addEventListener('abort', onLeave);
    if (cancel.aborted) onCancel();
    if (leave.aborted) onLeave();
    try {
      for await (const response of call.iterator({ destroyOnReturn: false })) {
        const event = eventFromWire(response as pb.RunResponse, this.device);
        if (event === null) continue;
        if (event.type === 'accepted') {
          accepted = true;
          if (cancel.aborted) this.cancel(plan.attemptId);
        }
        hasEnded = isTerminal(event);
        yield event;
        if (hasEnded) return;
      }
    } catch (error) {
      const isOurs = (error as ServiceError).code === status.CANCELLED;
      if (isOurs && overdue) throw new CancelOverdueError(this.cancelTimeoutMs);
      if (isOurs && leave.aborted) throw leave.reason;
      throw new WorkerConnectionError(error);
    } finally {
      cancel.removeEventListener('abort', onCancel);
      leave.removeEventListener('abort', onLeave);
      clearTimeout(limit);
      // Leaving the loop does not end the call by itself (https://github.com/grpc/grpc-node/issues/1238).
      if (hasEnded) letEnd(call);
      else call.cancel();
    }
  }

  close(): void {
    this.client.close();
  }

  /** The attempt may have ended, and the worker with it: nobody waits for the answer. */
  private cancel(attemptId: string): void {
    try {
      this.client.cancel({ attemptId }, new Metadata(), { deadline: Date.now() + CONTROL_TIMEOUT_MS }, () => undefined);
    } catch {
      // The channel is closed: the worker is gone, and its attempts with it.
    }
  }
}

const GONE: readonly number[] = [status.NOT_FOUND, status.UNAVAILABLE, status.CANCELLED];

/** Whether a call failed because the worker is no longer there, or no longer has what was asked for. */
export function isGone(error: unknown): boolean {
  return GONE.includes((error as Partial<ServiceError>).code ?? status.UNKNOWN);
}

function unary<Q, R>(method: Unary<Q, R>, request: Q, timeoutMs: number): Promise<R> {
  return new Promise<R>((resolve, reject) => {
    method(request, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
  });
}
