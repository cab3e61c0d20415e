import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import { Metadata } from '@grpc/grpc-js';

import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { answerOf, GrpcClients, refusalOfCall } from '../../../test/support/grpc-client.js';
import { frame, rawEnd, RawGrpc } from '../../../test/support/grpc-raw.js';
import { eventually } from '../../../test/support/signals.js';
import { GenerateRequest, ListJobsRequest, SubmitJobRequest } from '../../gen/safelight/v1/safelight.pb.js';

const INVALID_ARGUMENT = '3';
const RESOURCE_EXHAUSTED = '8';
const UNIMPLEMENTED = '12';

const MEBIBYTE = 1024 * 1024;
const SUBMIT = '/safelight.v1.JobService/SubmitJob';
const SUBMIT_ALL = '/safelight.v1.JobService/SubmitJobs';
const GENERATE = '/safelight.v1.JobService/Generate';

describe('gRPC of clients that mean no good', () => {
  let api: RunningApi;
  let grpc: GrpcClients;
  let raw: RawGrpc;
  beforeAll(async () => {
    api = await startApi({ grpc: {}, bodyLimitBytes: 64 * 1024, maxBodyBytes: 4 * MEBIBYTE });
    grpc = new GrpcClients(api.grpcAddress);
    raw = await RawGrpc.connect(api.grpcAddress);
  });
  afterAll(async () => {
    raw.close();
    grpc.close();
    await api.close();
  });
  afterEach(async () => {
    // Whatever it was, the server goes on.
    await answerOf(grpc.catalog.listModels.bind(grpc.catalog), {});
    if (raw.session.destroyed) throw new Error('the server has closed the connection');
  });

  it.each([
    ['bytes of no kind', randomBytes(2_000)],
    ['a field that is longer than the message', Buffer.from([0x0a, 0xff, 0xff, 0x03, 0x01])],
    ['a number without an end', Buffer.alloc(40, 0xff)],
    ['a group without an end', Buffer.from([0x0b])],
    ['the tag zero', Buffer.from([0x00, 0x00])],
    ['a JSON document', Buffer.from('{"request": {"prompt": "x"}}')],
  ])('refuses %s', async (_, message) => {
    for (const path of [SUBMIT, SUBMIT_ALL, GENERATE, '/safelight.v1.JobService/ListJobs']) {
      expect(await raw.call(path, { message })).toMatchObject({ status: INVALID_ARGUMENT });
    }
    expect(await api.countJobs()).toBe(0);
  });

  it('refuses a message that is larger than a submission may be, and one of words that is larger than words are', async () => {
    const data = Buffer.alloc(5 * MEBIBYTE);
    const message = { request: { prompt: 'x', initImage: { source: { $case: 'data' as const, value: data } } } };
    const giant = answerOf(grpc.jobs.submitJob.bind(grpc.jobs), SubmitJobRequest.fromPartial(message));
    expect((await refusalOfCall(giant)).code).toBe('RESOURCE_EXHAUSTED');
    const wordy = answerOf(grpc.jobs.getJob.bind(grpc.jobs), { id: 'x'.repeat(65 * 1024) });
    expect(await refusalOfCall(wordy)).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      details: expect.stringContaining('a message of GetJob has at most 65536 bytes'),
    });
  });

  it.each(['/grpc.health.v1.Health/Check', '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'])(
    'reads little of those who need no key: %s',
    async (path) => {
      const name = field(0x0a, Buffer.alloc(20 * 1024, 'x'));
      expect(await raw.call(path, { message: name })).toMatchObject({ status: RESOURCE_EXHAUSTED });
      const stream = raw.open(path, { headers: { 'grpc-encoding': 'gzip' } });
      const packed = frame(gzipSync(name));
      packed[0] = 1;
      stream.resume();
      stream.end(packed);
      expect(await rawEnd(stream)).toMatchObject({ status: RESOURCE_EXHAUSTED });
    },
  );

  it('refuses what unpacks to more than a message may be', async () => {
    const stream = raw.open(SUBMIT, { headers: { 'grpc-encoding': 'gzip' } });
    const bomb = frame(gzipSync(Buffer.alloc(50 * MEBIBYTE)));
    bomb[0] = 1;
    stream.resume();
    stream.end(bomb);
    expect(await rawEnd(stream)).toMatchObject({ status: RESOURCE_EXHAUSTED });
  });

  it.each([
    ['empty requests', SUBMIT_ALL, Buffer.from([0x0a, 0x00])],
    ['empty LoRAs', SUBMIT, Buffer.from([0xc2, 0x01, 0x00])],
    ['empty entries of a map', SUBMIT, Buffer.from([0x9a, 0x01, 0x00])],
    ['empty options', SUBMIT, Buffer.from([0x5a, 0x00])],
  ])('refuses a million %s before anything is made of them', async (_, path, piece) => {
    const many = Buffer.alloc(piece.length * 1_000_000, piece);
    const before = process.memoryUsage().heapTotal;
    const message = path === SUBMIT ? Buffer.concat([Buffer.from([0x0a]), varint(many.length), many]) : many;
    const { status, message: why } = await raw.call(path, { message });
    expect([status, why]).toEqual([INVALID_ARGUMENT, 'the message holds more than 20000 values']);
    // A million of the smallest objects take more.
    expect(process.memoryUsage().heapTotal - before).toBeLessThan(64 * MEBIBYTE);
  });

  it('refuses options nested without an end', async () => {
    let value: Buffer = Buffer.from([0x08, 0x00]);
    for (let depth = 0; depth < 200; depth++) value = field(0x32, field(0x0a, value));
    const options = field(0x5a, field(0x0a, Buffer.concat([Buffer.from([0x0a, 0x01, 0x61]), field(0x12, value)])));
    const message = field(0x0a, options);
    expect(await raw.call(SUBMIT, { message })).toEqual({
      status: INVALID_ARGUMENT,
      message: 'the message nests deeper than 64 levels',
    });
  });

  it('refuses a list of fifty thousand states', async () => {
    const request = ListJobsRequest.fromPartial({ states: Array.from({ length: 50_000 }, () => 1) });
    expect(await refusalOfCall(answerOf(grpc.jobs.listJobs.bind(grpc.jobs), request))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it.each(['/safelight.v1.JobService/Nothing', '/no.such.Service/Get', '/'])('knows no %s', async (path) => {
    expect(await raw.call(path, { message: Buffer.alloc(0) })).toMatchObject({ status: UNIMPLEMENTED });
  });

  it('answers texts that no header can hold', async () => {
    const refusal = await refusalOfCall(grpc.submit({ prompt: 'x', model: `\ud800${'é\n'.repeat(5_000)}` }));
    expect(refusal.code).toBe('INVALID_ARGUMENT');
    expect(refusal.details.length).toBeLessThan(1_000);
  });

  it('keeps the trailers of a hundred mistakes within what clients take', async () => {
    const requests = Array.from({ length: 100 }, () => ({
      prompt: '',
      width: 1,
      height: 1,
      scheduler: 'x',
      numImages: 0,
    }));
    const refusal = await refusalOfCall(
      answerOf(grpc.jobs.submitJobs.bind(grpc.jobs), { requests: requests.map(whole), idempotencyKey: undefined }),
    );
    const [details] = refusal.metadata.get('grpc-status-details-bin');
    expect(details).toBeInstanceOf(Buffer);
    // 8 KiB is what clients of the C core take of all trailers.
    expect((details as Buffer).length * (4 / 3) + encodeURI(refusal.details).length).toBeLessThan(7 * 1024);
  });

  it('cancels the job at the deadline of a call whose client reads nothing', async () => {
    const deaf = await RawGrpc.connect(api.grpcAddress, 0);
    try {
      const message = GenerateRequest.encode(GenerateRequest.fromPartial({ request: { prompt: 'deaf' } })).finish();
      deaf.open(GENERATE, { message, headers: { 'grpc-timeout': '700m' } });
      const job = await eventually('the job is cancelled', async () => {
        const [latest] = await api.store.list({ limit: 1 });
        return latest?.request.prompt === 'deaf' && latest.state === 'cancelled' ? latest : null;
      });
      expect(job.cancelRequestedAt).not.toBeNull();
    } finally {
      deaf.close();
    }
  });

  it('cancels the job of a client whose connection breaks', async () => {
    const breaking = await RawGrpc.connect(api.grpcAddress);
    const message = GenerateRequest.encode(GenerateRequest.fromPartial({ request: { prompt: 'gone' } })).finish();
    await once(breaking.open(GENERATE, { message }), 'data');
    breaking.session.socket.destroy();
    await eventually('the job is cancelled', async () => {
      const [latest] = await api.store.list({ limit: 1 });
      return latest?.request.prompt === 'gone' && latest.state === 'cancelled' ? latest : null;
    });
  });

  it('bounds the streams of a connection, serves others beside them, and frees what they held', async () => {
    expect(raw.session.remoteSettings.maxConcurrentStreams).toBe(256);
    const { id } = await grpc.submit({ prompt: 'x' });
    const clients = Array.from({ length: 4 }, () => new GrpcClients(api.grpcAddress));
    const open = clients.flatMap((client) =>
      Array.from({ length: 300 }, () => client.jobs.watchJob({ id, afterEvent: '0', previews: true }, new Metadata())),
    );
    let begun = 0;
    await new Promise<void>((resolve) => {
      const count = () => ++begun === 4 * 256 && resolve();
      for (const call of open) call.on('error', () => undefined).once('data', count);
    });
    expect((await answerOf(grpc.jobs.getJob.bind(grpc.jobs), { id })).job?.id).toBe(id);
    const stopped = new Promise<void>((resolve) => {
      api.events.onPreviewsWatched(id, (watched) => watched || resolve());
    });
    expect(begun).toBe(4 * 256);
    for (const client of clients) client.close();
    for (const call of open) call.cancel();
    await stopped;
    expect(api.events.previewsWatched(id)).toBe(false);
  });
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

function field(tag: number, inside: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), varint(inside.length), inside]);
}

function whole(request: object) {
  const { request: made } = SubmitJobRequest.fromPartial({ request });
  if (made === undefined) throw new Error('expected a request');
  return made;
}
