import type { Metadata, ServerInterceptingCallInterface, ServerInterceptor, StatusObject } from '@grpc/grpc-js';
import { ResponderBuilder, ServerInterceptingCall, ServerListenerBuilder, status } from '@grpc/grpc-js';
import type { Logger } from 'pino';

import type { Tracing } from '../../../telemetry/tracing/tracing.js';
import type { Authenticate } from '../../access/authenticate.js';
import { Problem } from '../../http/problem.js';
import { unavailable } from '../../http/unavailable.js';
import { statusOfProblem } from '../status/call-status.js';
import type { CallTrace } from './call-trace.js';
import { traceCall } from './call-trace.js';
import { identifyCall, metadataText } from './callers.js';
import { PacedCall } from './paced-call.js';

export interface IncomingCallsOptions {
  readonly authenticate: Authenticate;
  readonly tracing: Tracing;
  /** Null: calls are not logged. */
  readonly log: Logger | null;
  /** Of all connections together. */
  readonly maxOpenCalls: number;
  /** Of these, calls that need no key: so that nobody without one takes the room of those who have one. */
  readonly maxOpenProbes: number;
  /** A request must be whole by then; answers may take any time. */
  readonly requestTimeoutMs: number;
}

/** Health and reflection tell nothing about jobs, and need no key. */
const OURS = '/safelight.';

/** Their messages are names of services; what is larger would be kept in memory for somebody nobody knows. */
const MAX_PROBE_BYTES = 16 * 1024;

/**
 * Looks at every call before anything of its message is read: who sends it, and whether there is room for it. Follows it to
 * its end, for the log and its span.
 */
export function incomingCalls(options: IncomingCallsOptions): ServerInterceptor {
  const { authenticate, tracing, log, maxOpenCalls, maxOpenProbes, requestTimeoutMs } = options;
  let open = 0;
  let openProbes = 0;

  /** Null: the call is welcome. */
  const refusal = (path: string, metadata: Metadata): Problem | null => {
    if (open > maxOpenCalls) return unavailable(`more than ${maxOpenCalls} calls are open`);
    if (!path.startsWith(OURS)) {
      return openProbes > maxOpenProbes ? unavailable(`more than ${maxOpenProbes} calls without a key are open`) : null;
    }
    const authorization = metadataText(metadata, 'authorization');
    const caller = authenticate.caller({ authorization, apiKey: metadataText(metadata, 'x-api-key') });
    if (caller !== null) identifyCall(metadata, caller);
    const detail = 'send a key that is known: as the metadata authorization: Bearer KEY, or x-api-key: KEY';
    return caller === null ? new Problem('unauthorized', detail) : null;
  };

  return ({ path, requestStream }, next) => {
    const startedAt = performance.now();
    const isProbe = !path.startsWith(OURS);
    if (isProbe) boundMessages(next, MAX_PROBE_BYTES);
    let overdue: NodeJS.Timeout | undefined;
    let trace: CallTrace | null = null;
    let outcome: Pick<StatusObject, 'code'> = { code: status.CANCELLED };
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, proceed) => {
        open++;
        if (isProbe) openProbes++;
        trace = isProbe ? null : traceCall(path, metadata, tracing);
        const problem = refusal(path, metadata);
        if (problem !== null) call.sendStatus(statusOfProblem(problem));
        else {
          if (!requestStream)
            overdue = setTimeout(() => call.sendStatus(tooSlow(requestTimeoutMs)), requestTimeoutMs).unref();
          proceed(metadata);
        }
      })
      .withOnReceiveHalfClose((proceed) => {
        clearTimeout(overdue);
        proceed();
      })
      // Comes at the end of every call, also of one that went well.
      .withOnCancel(() => {
        open--;
        if (isProbe) openProbes--;
        clearTimeout(overdue);
        trace?.end(outcome);
        const ms = Math.round((performance.now() - startedAt) * 10) / 10;
        const facts = { method: path, status: status[outcome.code], ms, ...traceField(trace) };
        log?.[isProbe ? 'debug' : 'info'](facts, 'call');
      })
      .build();
    const responder = new ResponderBuilder()
      .withStart((begin) => begin(listener))
      .withSendStatus((sent, proceed) => {
        outcome = sent;
        proceed(sent);
      })
      .build();
    const call = requestStream ? new PacedCall(next, responder) : new ServerInterceptingCall(next, responder);
    return call;
  };
}

/** Sets the bound that grpc-js itself has of a message, packed or not: it knows but one for all methods of a server. */
function boundMessages(call: ServerInterceptingCallInterface, maxBytes: number): void {
  const bounds = call as unknown as { maxReceiveMessageSize: number; decoder: { maxReadMessageLength: number } };
  bounds.maxReceiveMessageSize = maxBytes;
  bounds.decoder.maxReadMessageLength = maxBytes;
}

function traceField(trace: CallTrace | null): { trace?: string } {
  return trace === null || trace.traceId === null ? {} : { trace: trace.traceId };
}

function tooSlow(limitMs: number): StatusObject {
  const details = `the request was not whole within ${limitMs} ms`;
  return { ...statusOfProblem(new Problem('malformed_request', details)), code: status.DEADLINE_EXCEEDED };
}
