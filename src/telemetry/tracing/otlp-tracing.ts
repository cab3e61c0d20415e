import type { Attributes, HrTime } from '@opentelemetry/api';
import { SpanKind as OtelSpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace';
import { ATTR_SERVICE_INSTANCE_ID, ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import type { Logger } from 'pino';

import type { SpanContext } from './trace-context.js';
import { newSpanContext } from './trace-context.js';
import type { FinishedSpan, SpanAttribute, SpanKind, TracingOptions } from './tracing.js';
import { Tracing } from './tracing.js';

/** Time a receiver may take for a batch, repetitions included, in milliseconds. */
const EXPORT_TIMEOUT_MS = 5000;

/** Pause between two batches, in milliseconds. */
const BATCH_INTERVAL_MS = 1000;

/** Spans held while the receiver is slow or away, about 1 KiB each; more are dropped, and told of. */
const MOST_SPANS = 8192;

/** Time the last batches get when the server stops, in milliseconds. */
const CLOSE_TIMEOUT_MS = 3000;

const KINDS: Readonly<Record<SpanKind, OtelSpanKind>> = {
  internal: OtelSpanKind.INTERNAL,
  server: OtelSpanKind.SERVER,
  client: OtelSpanKind.CLIENT,
};

/**
 * Sends spans to an OTLP/HTTP receiver in batches. Spans are made here rather than by OpenTelemetry's tracer: they are known
 * whole once they are over, and those of a job have ids that every node can name. Imported only when it is used.
 */
export class OtlpTracing extends Tracing {
  readonly isOn = true;
  private readonly sampleRatio: number;
  private readonly processor: BatchSpanProcessor;
  private readonly common: Pick<ReadableSpan, 'resource' | 'instrumentationScope'>;
  private readonly log: Logger;
  private closing: Promise<void> | null = null;

  constructor({ config, endpoint, node, version, log }: TracingOptions & { readonly endpoint: string }) {
    super();
    this.sampleRatio = config.sampleRatio;
    this.log = log;
    const exporter = new OTLPTraceExporter({
      url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
      timeoutMillis: EXPORT_TIMEOUT_MS,
    });
    this.processor = new BatchSpanProcessor({
      exporter: tellingOfLoss(exporter, log),
      scheduledDelayMillis: BATCH_INTERVAL_MS,
      exportTimeoutMillis: EXPORT_TIMEOUT_MS + BATCH_INTERVAL_MS,
      maxQueueSize: MOST_SPANS,
    });
    const own = resourceFromAttributes({
      [ATTR_SERVICE_NAME]: config.serviceName,
      [ATTR_SERVICE_VERSION]: version,
      [ATTR_SERVICE_INSTANCE_ID]: node,
    });
    this.common = {
      resource: defaultResource()
        .merge(detectResources({ detectors: [envDetector] }))
        .merge(own),
      instrumentationScope: { name: 'safelight', version },
    };
  }

  begin(parent: SpanContext | null): SpanContext {
    return newSpanContext(parent, this.sampleRatio);
  }

  record(span: FinishedSpan): void {
    if (span.context.sampled) this.processor.onEnd({ ...this.common, ...readable(span) });
  }

  close(): Promise<void> {
    this.closing ??= this.closeWithin(CLOSE_TIMEOUT_MS);
    return this.closing;
  }

  private async closeWithin(ms: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const sent = this.processor.shutdown().catch((error: unknown) => {
      this.log.warn({ err: error }, 'the last spans could not be sent');
    });
    await Promise.race([sent, late]);
    clearTimeout(timer);
  }
}

type OwnParts = Omit<ReadableSpan, 'resource' | 'instrumentationScope'>;

function readable({ context, parent, name, kind, startedAt, endedAt, attributes, error }: FinishedSpan): OwnParts {
  return {
    name,
    kind: KINDS[kind],
    spanContext: () => otelContext(context),
    ...(parent === null ? {} : { parentSpanContext: otelContext(parent) }),
    startTime: hrTime(startedAt),
    endTime: hrTime(endedAt),
    duration: hrTime(Math.max(0, endedAt - startedAt)),
    status: error === null ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
    attributes: known(attributes),
    links: [],
    events: [],
    ended: true,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function known(attributes: FinishedSpan['attributes']): Attributes {
  const isKnown = (entry: [string, SpanAttribute | null | undefined]): entry is [string, SpanAttribute] =>
    entry[1] !== null && entry[1] !== undefined;
  const told = Object.entries(attributes).filter(isKnown);
  return Object.fromEntries(told.map(([name, value]) => [name, typeof value === 'object' ? [...value] : value]));
}

function otelContext({ traceId, spanId, sampled }: SpanContext): ReturnType<ReadableSpan['spanContext']> {
  return { traceId, spanId, traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE };
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}

/** ExportResultCode.SUCCESS, of a package that is only pulled in by others. */
const SUCCESS = 0;

/** Says once that spans are lost, and once that they arrive again: a receiver that is away is no news at every batch. */
function tellingOfLoss(exporter: SpanExporter, log: Logger): SpanExporter {
  let isLosing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const code: number = result.code;
        const isLost = code !== SUCCESS;
        if (isLost && !isLosing)
          log.warn({ err: result.error }, 'traces cannot be delivered; they are dropped until they can');
        if (!isLost && isLosing) log.info('traces are delivered again');
        isLosing = isLost;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}
