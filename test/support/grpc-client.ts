import type { ClientOptions, ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { credentials, Metadata, status } from '@grpc/grpc-js';

import type {
  DeepPartial,
  GenerationRequest,
  JobEvent,
  CatalogServiceClient as CatalogClient,
  JobServiceClient as JobClient,
} from '../../src/gen/safelight/v1/safelight.pb.js';
import { CatalogServiceClient, JobServiceClient, SubmitJobRequest } from '../../src/gen/safelight/v1/safelight.pb.js';

/** A call that did not end with OK. */
export interface Refusal {
  readonly code: string;
  readonly details: string;
  readonly metadata: Metadata;
}

/** Everything a stream brought, and how it ended. */
export interface Streamed<T> {
  readonly messages: readonly T[];
  /** `OK`, or the name of another status. */
  readonly status: string;
  readonly details: string;
}

/** How a call is made. */
export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** Milliseconds from now. */
  readonly deadlineMs?: number;
}

/** Real clients of grpc-js, on connections of their own. Whoever makes them closes them. */
export class GrpcClients {
  readonly jobs: JobClient;
  readonly catalog: CatalogClient;

  constructor(address: string, options: ClientOptions = {}, channel = credentials.createInsecure()) {
    // Without this all clients of a process share connections, and with them the bound of streams.
    const own = { 'grpc.use_local_subchannel_pool': 1, 'grpc.max_receive_message_length': -1, ...options };
    this.jobs = new JobServiceClient(address, channel, own);
    this.catalog = new CatalogServiceClient(address, channel, own);
  }

  close(): void {
    this.jobs.close();
    this.catalog.close();
  }

  async submit(request: DeepPartial<GenerationRequest>, options?: CallOptions) {
    const message = SubmitJobRequest.fromPartial({ request });
    const { job } = await answerOf(this.jobs.submitJob.bind(this.jobs), message, options);
    if (job === undefined) throw new Error('expected a job');
    return job;
  }
}

type Unary<Q, R> = (
  request: Q,
  metadata: Metadata,
  options: { deadline?: number },
  callback: (error: ServiceError | null, response: R) => void,
) => unknown;

/** The answer of a call; rejects with its {@link Refusal}. */
export function answerOf<Q, R>(method: Unary<Q, R>, request: Q, options: CallOptions = {}): Promise<R> {
  return new Promise((resolve, reject) => {
    method(request, metadataOf(options), deadlineOf(options), (error, response) => {
      if (error === null) resolve(response);
      else reject(Object.assign(new Error(error.message), refusalOf(error)));
    });
  });
}

/** The refusal of a call that is expected to be refused. */
export async function refusalOfCall(call: Promise<unknown>): Promise<Refusal> {
  const outcome = await call.then(
    () => null,
    (error: Refusal) => error,
  );
  if (outcome === null) throw new Error('expected the call to be refused');
  return outcome;
}

export function metadataOf({ metadata = {} }: CallOptions): Metadata {
  const made = new Metadata();
  for (const [key, value] of Object.entries(metadata)) made.set(key, value);
  return made;
}

export function deadlineOf({ deadlineMs }: CallOptions): { deadline?: number } {
  return deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
}

/** Reads a stream to its end; `each` sees the messages as they come. */
export async function readAll<T>(call: ClientReadableStream<T>, each?: (message: T) => void): Promise<Streamed<T>> {
  const messages: T[] = [];
  call.on('data', (message: T) => {
    messages.push(message);
    each?.(message);
  });
  const { code, details } = await endOf(call);
  return { messages, status: status[code] ?? String(code), details };
}

/** How a stream ends; its messages are left to whoever reads them. */
export function endOf(call: ClientReadableStream<unknown>): Promise<{ code: status; details: string }> {
  return new Promise((resolve) => {
    // Told by its status as well.
    call.on('error', () => undefined);
    call.on('status', resolve);
  });
}

/** The words for the events of a stream. */
export function kindsOf(messages: readonly { event?: JobEvent | undefined }[]): (string | undefined)[] {
  return messages.map(({ event }) => event?.event?.$case);
}

function refusalOf({ code, details, metadata }: ServiceError): Refusal {
  return { code: status[code] ?? String(code), details, metadata };
}
