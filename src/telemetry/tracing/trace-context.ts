import { createHash, randomBytes } from 'node:crypto';

/** Where a span stands: its trace, itself, and whether the trace is recorded at all (W3C Trace Context). */
export interface SpanContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
}

/** Versions after 00 may have further fields behind, which are not for us; ff is none. */
const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/** Null: it is none, and the request begins a trace of its own. */
export function parseTraceparent(header: string | undefined): SpanContext | null {
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(header?.trim() ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return null;
  if (version === '00' && more !== undefined) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, sampled }: SpanContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** A span below another one, or the first of a trace that is sampled in so many of all cases. */
export function newSpanContext(parent: SpanContext | null, sampleRatio: number): SpanContext {
  const spanId = randomBytes(8).toString('hex');
  if (parent !== null) return { ...parent, spanId };
  const traceId = randomBytes(16).toString('hex');
  // Of the id, as OpenTelemetry does it, so that whoever goes by the same ratio decides alike.
  const share = Number.parseInt(traceId.slice(-14), 16) / 2 ** 56;
  return { traceId, spanId, sampled: share < sampleRatio };
}

/** The id of a span that several nodes have to name alike, from what names the span. */
export function spanIdOf(...names: readonly (string | number)[]): string {
  return createHash('sha256').update(names.join('/')).digest('hex').slice(0, 16);
}

/** Where the span of a job stands; `traceparent` is what its row holds of the request that submitted it. */
export function jobSpanContext(jobId: string, traceparent: string | null): SpanContext | null {
  const request = parseTraceparent(traceparent ?? undefined);
  return request === null || !request.sampled ? null : { ...request, spanId: spanIdOf(jobId) };
}
