import type { Metadata, StatusObject } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';

import type { SpanContext } from '../../../telemetry/tracing/trace-context.js';
import { parseTraceparent } from '../../../telemetry/tracing/trace-context.js';
import { inTrace } from '../../../telemetry/tracing/trace-scope.js';
import type { Tracing } from '../../../telemetry/tracing/tracing.js';
import { metadataText } from './callers.js';

const spans = new WeakMap<Metadata, SpanContext>();

/** The mistake of a client is no error of a server's span. */
const SERVER_FAULTS: ReadonlySet<status> = new Set([
  status.UNKNOWN,
  status.UNIMPLEMENTED,
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);

/** The span of a call that began. */
export interface CallTrace {
  readonly traceId: string | null;
  end(outcome: Pick<StatusObject, 'code'>): void;
}

/** Begins the span of a call, below the one its `traceparent` names. Null: traces are off. */
export function traceCall(path: string, metadata: Metadata, tracing: Tracing): CallTrace | null {
  if (!tracing.isOn) return null;
  const parent = parseTraceparent(metadataText(metadata, 'traceparent'));
  const context = tracing.begin(parent);
  const startedAt = Date.now();
  spans.set(metadata, context);
  const [, service = '', method = ''] = path.split('/');
  return {
    traceId: context.sampled ? context.traceId : null,
    end({ code }) {
      tracing.record({
        context,
        parent,
        name: `${service}/${method}`,
        kind: 'server',
        startedAt,
        endedAt: Date.now(),
        attributes: {
          'rpc.system': 'grpc',
          'rpc.service': service,
          'rpc.method': method,
          'rpc.grpc.status_code': code,
        },
        error: SERVER_FAULTS.has(code) ? status[code] : null,
      });
    },
  };
}

/** Does the work of a call as part of its span, so that jobs it submits belong to its trace. */
export function inCallTrace<T>(metadata: Metadata, work: () => T): T {
  const span = spans.get(metadata);
  return span === undefined ? work() : inTrace(span, work);
}
