import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { resolve } from 'node:path';

import { fuzz } from '../support/fuzz.js';
import { pngHeader } from '../support/pictures.js';
import { ServerProcess } from '../support/server-process.js';
import { eventually } from '../support/signals.js';

/** A worker process that draws nothing: whatever is accepted ends at once. */
const NULL_WORKER = { python: resolve('python-worker/bench/null_worker/launch') };
/** A worker that never comes up: whatever is accepted stays queued. */
const NO_WORKER = { python: '/bin/false' };

const STREAMS = 10_000;
const SLOW_CLIENTS = 300;
const FUZZ_SEED = 20_261_121;

const isAlive = async (server: ServerProcess) =>
  (await fetch(`${server.url}/health/live`, { signal: AbortSignal.timeout(5_000) })).status === 200;

/** Sends bytes as they are; resolves with the first line of the answer, empty when the server only hangs up. */
async function raw(server: ServerProcess, bytes: string): Promise<string> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(bytes);
  const closed = once(socket, 'close');
  await Promise.race([closed, once(socket, 'data').catch(() => undefined)]);
  socket.destroy();
  return Buffer.concat(chunks).toString().split('\r\n')[0] ?? '';
}

describe('a server that works', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start({
      workers: NULL_WORKER,
      embedded_model: true,
      http: { port: 0, request_timeout_ms: 2_000 },
    });
    await server.workerPid();
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  it('answers whatever its API document allows or forbids, never with 5xx and never too late', async () => {
    const { isClean, report } = await fuzz(server.url, FUZZ_SEED);
    expect(isClean ? '' : report).toBe('');
    expect(await isAlive(server)).toBe(true);
  }, 600_000);

  it.each([
    '/v1/jobs/..%2f..%2f..%2fetc%2fpasswd',
    '/v1/jobs/../../../../etc/passwd',
    '/v1/jobs/%00',
    '/v1/jobs/0199c1d2-7a3b-7c4d-8e5f-60718293a4b5/artifacts/..%2f..%2fjobs.sqlite',
    '/v1/jobs/0199c1d2-7a3b-7c4d-8e5f-60718293a4b5/artifacts/%2e%2e',
    '/v1/models/..%2f..%2fetc%2fpasswd',
    '/v1/models/%c0%ae%c0%ae',
    `/v1/jobs/${'a'.repeat(8_000)}`,
  ])('finds no file under %.80s', async (path) => {
    const status = await raw(server, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(status).toMatch(/^HTTP\/1\.1 (400|404) /);
  });

  it.each([
    ['two thousand headers', `GET / HTTP/1.1\r\nHost: x\r\n${'X-A: 1\r\n'.repeat(2_500)}\r\n`, / 200 | 431 /],
    ['a header of a megabyte', `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(1 << 20)}\r\n\r\n`, / 431 /],
    ['two lengths', 'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', / 400 /],
    [
      'a length and chunks',
      'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      / 400 /,
    ],
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', / 400 /],
    [
      'a length beyond all bounds',
      'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999999\r\n\r\n',
      / 413 /,
    ],
  ])('refuses %s', async (_what, bytes, expected) => {
    expect(await raw(server, bytes)).toMatch(expected);
    expect(await isAlive(server)).toBe(true);
  });

  it.each([
    ['claims to be 30,000 pixels a side', pngHeader(30_000, 30_000)],
    ['claims to be four billion pixels a side', pngHeader(0xffff_ffff, 0xffff_ffff)],
    ['claims to be empty', pngHeader(0, 0)],
  ])('refuses a picture that %s before anything is enqueued', async (_what, bytes) => {
    const answer = await server.post('/v1/jobs', {
      model: 'shapes',
      prompt: 'a cat',
      init_image: Buffer.from(bytes).toString('base64'),
    });
    expect(answer.status).toBe(422);
    expect(((await answer.json()) as { errors: { field: string }[] }).errors[0]?.field).toBe('init_image');
  });

  it('serves others while hundreds of clients send their bodies a byte at a time, and hangs up on them in the end', async () => {
    const { hostname, port } = new URL(server.url);
    const sockets: Socket[] = await Promise.all(
      Array.from({ length: SLOW_CLIENTS }, async () => {
        const socket = connect(Number(port), hostname);
        socket.on('error', () => undefined);
        // What is read is thrown away; a socket nobody reads never tells that it was closed.
        socket.resume();
        await once(socket, 'connect');
        socket.write(
          'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{',
        );
        return socket;
      }),
    );
    const dripping = setInterval(() => sockets.forEach((socket) => socket.writable && socket.write(' ')), 250);
    try {
      const startedAt = Date.now();
      const { id } = await server.submit({ model: 'shapes', prompt: 'a cat' });
      expect((await server.finished(id)).state).toBe('succeeded');
      expect(Date.now() - startedAt).toBeLessThan(20_000);
      await eventually(
        'all of them are hung up on',
        async () => (sockets.every(({ closed }) => closed) ? true : null),
        90_000,
      );
    } finally {
      clearInterval(dripping);
      for (const socket of sockets) socket.destroy();
    }
  });
});

describe('a server with ten thousand open event streams', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start({ workers: NO_WORKER, embedded_model: true });
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  it('answers others, and tells each stream how the job ended', async () => {
    const { id } = await server.submit({ model: 'shapes', prompt: 'a cat' });
    let begun = 0;
    const told: string[] = [];
    const ended: Promise<unknown>[] = [];
    for (let open = 0; open < STREAMS; open += 500) {
      const batch = Array.from({ length: 500 }, async () => {
        const call = request(`${server.url}/v1/jobs/${id}/events`, { agent: false });
        call.end();
        const [response] = (await once(call, 'response')) as [NodeJS.ReadableStream];
        begun += 1;
        const text: string[] = [];
        response.on('data', (chunk: Buffer) => text.push(chunk.toString()));
        ended.push(once(response, 'end').then(() => told.push(text.join(''))));
      });
      await Promise.all(batch);
    }
    expect(begun).toBe(STREAMS);
    expect(await isAlive(server)).toBe(true);
    expect((await server.post(`/v1/jobs/${id}/cancel`)).status).toBe(202);
    await Promise.all(ended);
    expect(told.filter((text) => !text.includes('event: final'))).toEqual([]);
    expect(told).toHaveLength(STREAMS);
    expect((await server.job(id)).state).toBe('cancelled');
  });
});
