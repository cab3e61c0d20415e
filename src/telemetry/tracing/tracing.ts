import type { Logger } from 'pino';

import type { TelemetryConfig } from '../../config/telemetry.config.js';
import type { SpanContext } from './trace-context.js';

export type SpanKind = 'internal' | 'server' | 'client';

export type SpanAttribute = string | number | boolean | readonly string[];

/** A span that has ended: all spans are recorded when they are over. Times are epoch milliseconds. */
export interface FinishedSpan {
  readonly context: SpanContext;
  /** Null: it is the first of its trace. */
  readonly parent: SpanContext | null;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Null and undefined are left out. */
  readonly attributes: Readonly<Record<string, SpanAttribute | null | undefined>>;
  /** What went wrong; null: nothing. */
  readonly error: string | null;
}

export interface TracingOptions {
  readonly config: TelemetryConfig;
  /** Name of this node. */
  readonly node: string;
  readonly version: string;
  readonly log: Logger;
}

/** Where spans go. Recording never throws, never waits and never fails what is traced. */
export abstract class Tracing {
  /** False: whoever would have to gather facts for a span need not. */
  abstract readonly isOn: boolean;
  /** A span that begins: below `parent`, else the first of a trace. */
  abstract begin(parent: SpanContext | null): SpanContext;
  /** Takes a span that has ended; one that is not sampled is dropped. */
  abstract record(span: FinishedSpan): void;
  /** Sends what is left, within a bounded time. Safe to call twice. */
  abstract close(): Promise<void>;
}
