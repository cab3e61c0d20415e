import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { eventually } from './signals.js';

/** A span as it went over the wire, in short. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: it is the first of its trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly isError: boolean;
  /** Of the service that sent it. */
  readonly resource: Readonly<Record<string, unknown>>;
}

/** What takes traces in the protocol of OpenTelemetry over HTTP, on a socket of this machine. */
export interface OtlpReceiver {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Headers of the last batch. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The spans once there is one of each of these names. */
  having(...names: readonly string[]): Promise<readonly ReceivedSpan[]>;
  close(): Promise<void>;
}

interface WireAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface WireSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly WireAttribute[];
  readonly status: { readonly code?: number };
}

interface WireBatch {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly WireAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

const ERROR = 2;

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  let headers: OtlpReceiver['headers'] = {};
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.method !== 'POST' || request.url !== '/v1/traces') {
        response.writeHead(404).end();
        return;
      }
      ({ headers } = request);
      spans.push(...spansOf(JSON.parse(Buffer.concat(chunks).toString()) as WireBatch));
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    get headers() {
      return headers;
    },
    having: (...names) =>
      eventually(`spans ${names.join(', ')}`, () =>
        Promise.resolve(names.every((name) => spans.some((span) => span.name === name)) ? spans : null),
      ),
    close: () => closed(server),
  };
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

function spansOf({ resourceSpans }: WireBatch): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const about = plain(resource.attributes);
    return scopeSpans.flatMap((scope) => scope.spans.map((span) => received(span, about)));
  });
}

function received(span: WireSpan, resource: ReceivedSpan['resource']): ReceivedSpan {
  const ms = (nanoseconds: string) => Number(BigInt(nanoseconds) / 1000n) / 1000;
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentSpanId ?? '',
    name: span.name,
    startedAt: ms(span.startTimeUnixNano),
    endedAt: ms(span.endTimeUnixNano),
    attributes: plain(span.attributes),
    isError: span.status.code === ERROR,
    resource,
  };
}

function plain(attributes: readonly WireAttribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plainValue(value)]));
}

function plainValue(value: Readonly<Record<string, unknown>>): unknown {
  const { arrayValue } = value as { arrayValue?: { values: readonly Record<string, unknown>[] } };
  return arrayValue === undefined ? Object.values(value)[0] : arrayValue.values.map(plainValue);
}
