import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

import { afterEach, describe, expect, it } from '@jest/globals';

import type { Handler } from '../../../test/support/cli.js';
import { answerJson, StubApi } from '../../../test/support/cli.js';
import { ApiClient } from './api-client.js';
import { ApiError } from './api-error.js';
import type { ServerEvent, StreamLimits } from './event-stream.js';
import { readEvents, StreamLostError } from './event-stream.js';

const FAST: StreamLimits = { attempts: 3, baseDelayMs: 1, maxDelayMs: 2, silenceMs: 4000 };

let api: StubApi | null = null;

afterEach(async () => {
  await api?.stop();
  api = null;
});

async function events(
  connections: Handler[],
  limits: Partial<StreamLimits> = {},
  signal = new AbortController().signal,
) {
  const seen: (string | undefined)[] = [];
  api = await StubApi.start({
    'GET /events': (request, response, body) => {
      seen.push(request.headers['last-event-id'] as string | undefined);
      const handler = connections[Math.min(seen.length, connections.length) - 1];
      handler?.(request, response, body);
    },
  });
  const client = new ApiClient(api.url);
  const stream = readEvents({
    open: (lastEventId, both) =>
      client.open('/events', lastEventId === null ? {} : { 'last-event-id': lastEventId }, both),
    isPassing: (error) => !(error instanceof ApiError) || error.isPassing,
    lastEvent: 'final',
    signal,
    limits: { ...FAST, ...limits },
  });
  return { stream, seen };
}

async function collect(stream: AsyncIterable<ServerEvent>): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { event, data } of stream) found.push([event, data]);
  return found;
}

function begin(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { 'content-type': 'text/event-stream' });
}

const event = (id: number, name: string, data: unknown) =>
  `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

describe('readEvents', () => {
  it('yields events as they come and ends after the last', async () => {
    const { stream, seen } = await events([
      (_, response) => {
        begin(response).write(
          ': hello\n\n' + event(1, 'state', { state: 'running' }) + event(2, 'progress', { step: 1 }),
        );
        // The last one arrives in two pieces, and the connection stays open after it.
        response.write('id: 3\nevent: final\nda');
        response.write('ta: {"job":{}}\n\n');
      },
    ]);
    expect(await collect(stream)).toEqual([
      ['state', { state: 'running' }],
      ['progress', { step: 1 }],
      ['final', { job: {} }],
    ]);
    expect(seen).toEqual([undefined]);
  });

  it('goes on behind the event seen last when the connection is dropped', async () => {
    const { stream, seen } = await events([
      (_, response) => {
        begin(response).write(event(1, 'phase', 1) + event(2, 'phase', 2), () => response.destroy());
      },
      (_, response) => void begin(response).end(event(3, 'phase', 3)),
      (_, response) => void begin(response).end(event(4, 'final', {})),
    ]);
    expect(await collect(stream)).toEqual([
      ['phase', 1],
      ['phase', 2],
      ['phase', 3],
      ['final', {}],
    ]);
    expect(seen).toEqual([undefined, '2', '3']);
  });

  it('tries again when the server is not there yet or answers that it is not serving', async () => {
    const { stream } = await events([
      (_, response) => void response.destroy(),
      (_, response) => answerJson(response, 503, { title: 'no', status: 503, code: 'not_ready' }),
      (_, response) => void begin(response).end(event(1, 'final', {})),
    ]);
    expect(await collect(stream)).toEqual([['final', {}]]);
  });

  it('hangs up on a silent connection and asks again', async () => {
    const { stream, seen } = await events(
      [
        (_, response) => void begin(response).write(event(7, 'phase', {})),
        (_, response) => void begin(response).end(event(8, 'final', {})),
      ],
      { silenceMs: 20 },
    );
    expect(await collect(stream)).toHaveLength(2);
    expect(seen).toEqual([undefined, '7']);
  });

  it('gives up after its tries, and counts anew after every event', async () => {
    const drop: Handler = (_, response) => void response.destroy();
    const { stream, seen } = await events([
      drop,
      drop,
      (_, response) => {
        begin(response).write(event(1, 'phase', {}), () => response.destroy());
      },
      drop,
    ]);
    await expect(collect(stream)).rejects.toThrow(StreamLostError);
    expect(seen).toHaveLength(5);
  });

  it('does not try again what will not get better', async () => {
    const { stream, seen } = await events([
      (_, response) => answerJson(response, 404, { title: 'no such job', status: 404, code: 'x' }),
    ]);
    await expect(collect(stream)).rejects.toThrow(ApiError);
    expect(seen).toHaveLength(1);
  });

  it('ends its connection when the signal aborts', async () => {
    const abort = new AbortController();
    let closed: Promise<unknown> = Promise.resolve();
    const { stream } = await events(
      [
        (_, response) => {
          closed = once(response, 'close');
          begin(response).write(event(1, 'phase', {}));
        },
      ],
      {},
      abort.signal,
    );
    await stream.next();
    abort.abort();
    await expect(stream.next()).rejects.toThrow('aborted');
    await closed;
  });

  it('ends its connection when the reader leaves', async () => {
    let closed: Promise<unknown> = Promise.resolve();
    const { stream } = await events([
      (_, response) => {
        closed = once(response, 'close');
        begin(response).write(event(1, 'phase', {}));
      },
    ]);
    await stream.next();
    await stream.return(undefined);
    await closed;
  });
});
