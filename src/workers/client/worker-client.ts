import { setTimeout as wait } from 'node:timers/promises';

import type { ClientUnaryCall, ServiceError } from '@grpc/grpc-js';
import { credentials, Metadata, status } from '@grpc/grpc-js';

import type { AttemptEvent } from '../../dispatch/ports/worker-pool.port.js';
import { isTerminal } from '../../dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { Device } from '../../domain/placement/device.js';
import type * as pb from '../../gen/safelight/worker/v1/worker.pb.js';
import { WorkerServiceClient } from '../../gen/safelight/worker/v1/worker.pb.js';
import { eventFromWire } from './mapping.js';
import type { LoadableModel } from './plan-to-wire.js';
import { loadRequest, planToWire } from './plan-to-wire.js';

/** Time a call that never waits for the engine may take, in milliseconds. */
const CONTROL_TIMEOUT_MS = 5000;

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
  ) {
    this.client = new WorkerServiceClient(address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.enable_retries': 0,
    });
  }

  describe(): Promise<pb.DescribeResponse> {
    return unary((...args) => this.client.describe(...args), {}, CONTROL_TIMEOUT_MS);
  }

  health(): Promise<pb.GetHealthResponse> {
    return unary((...args) => this.client.getHealth(...args), {}, CONTROL_TIMEOUT_MS);
  }

  loadModel(model: LoadableModel, timeoutMs: number): Promise<pb.LoadModelResponse> {
    return unary((...args) => this.client.loadModel(...args), loadRequest(model), timeoutMs);
  }

  setPreviews(attemptId: string, intervalMs: number): Promise<pb.SetPreviewsResponse> {
    return unary((...args) => this.client.setPreviews(...args), { attemptId, intervalMs }, CONTROL_TIMEOUT_MS);
  }

  /**
   * Events of an attempt up to its terminal one. Aborting the signal asks the worker to cancel, and ends the stream with
   * `cancelled` after a bound when the worker does not. Throws {@link WorkerConnectionError} when the stream breaks.
   */
  async *run(plan: ExecutionPlan, signal: AbortSignal): AsyncGenerator<AttemptEvent> {
    const call = this.client.run({ plan: planToWire(plan) });
    // Without a listener an error after the last read would be an uncaught exception.
    call.on('error', () => undefined);
    let accepted = false;
    let overdue = false;
    const done = new AbortController();
    const onAbort = () => {
      // Before it has the attempt the worker would not know what to cancel: then `accepted` is the moment.
      if (accepted) this.cancel(plan.attemptId);
      void wait(CANCEL_TIMEOUT_MS, undefined, { signal: done.signal }).then(
        () => {
          overdue = true;
          call.cancel();
        },
        () => undefined,
      );
    };
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    try {
      for await (const response of call) {
        const event = eventFromWire(response as pb.RunResponse, this.device);
        if (event === null) continue;
        if (event.type === 'accepted') {
          accepted = true;
          if (signal.aborted) this.cancel(plan.attemptId);
        }
        yield event;
        if (isTerminal(event)) return;
      }
    } catch (error) {
      if (overdue && (error as ServiceError).code === status.CANCELLED) {
        yield { type: 'cancelled' };
        return;
      }
      throw new WorkerConnectionError(error);
    } finally {
      signal.removeEventListener('abort', onAbort);
      done.abort();
      // Leaving the loop does not end the call by itself (https://github.com/grpc/grpc-node/issues/1238).
      call.cancel();
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

function unary<Q, R>(method: Unary<Q, R>, request: Q, timeoutMs: number): Promise<R> {
  return new Promise<R>((resolve, reject) => {
    method(request, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
  });
}
