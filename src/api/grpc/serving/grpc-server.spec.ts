import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Client, credentials, Metadata, ServerCredentials, setLogger } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';

import type { RunningApi } from '../../../../test/support/api.js';
import { startApi, workerDescription } from '../../../../test/support/api.js';
import { answerOf, GrpcClients, readAll } from '../../../../test/support/grpc-client.js';
import { frame, RawGrpc } from '../../../../test/support/grpc-raw.js';
import { GrpcConfig, grpcPort } from '../../../config/grpc.config.js';
import { WatchJobRequest } from '../../../gen/safelight/v1/safelight.pb.js';
import { GrpcListenError, GrpcServer } from './grpc-server.js';
import { Health } from './health.js';
import { grpcCredentials } from './grpc-credentials.js';
import { serviceDefinitions } from './service-definitions.js';

interface HealthAnswer {
  readonly status: string;
}

describe('The gRPC server', () => {
  let api: RunningApi;
  let client: Client;
  beforeEach(async () => {
    api = await startApi({ grpc: {}, access: { apiKey: 'sixteen-characters-and-more' } });
    client = new Client(api.grpcAddress, credentials.createInsecure());
  });
  afterEach(async () => {
    client.close();
    await api.close();
  });

  const { Check, Watch } = healthService as Required<typeof healthService>;
  const check = (name: string) =>
    answerOf<object, HealthAnswer>(
      (request, metadata, options, callback) =>
        client.makeUnaryRequest(
          Check!.path,
          Check!.requestSerialize,
          Check!.responseDeserialize as (bytes: Buffer) => HealthAnswer,
          request,
          metadata,
          options,
          callback as never,
        ),
      { service: name },
    );

  it('tells its health to everybody, without a key', async () => {
    for (const name of ['', 'safelight.v1.JobService', 'safelight.v1.CatalogService'])
      expect(await check(name)).toEqual({ status: 'SERVING' });
    await expect(check('another')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('tells whoever watches when no worker takes work, and when one does again', async () => {
    const call = client.makeServerStreamRequest(
      Watch!.path,
      Watch!.requestSerialize,
      Watch!.responseDeserialize as (bytes: Buffer) => HealthAnswer,
      { service: 'safelight.v1.JobService' },
      new Metadata(),
    );
    call.on('error', () => undefined);
    const next = async () => ((await once(call, 'data')) as [HealthAnswer])[0].status;
    expect(await next()).toBe('SERVING');
    api.workers.splice(0, 1, workerDescription({ state: 'defunct' }));
    expect(await next()).toBe('NOT_SERVING');
    expect(await check('')).toEqual({ status: 'SERVING' });
    api.workers.splice(0, 1, workerDescription());
    expect(await next()).toBe('SERVING');
    call.cancel();
  });

  it('describes itself to everybody, without a key', async () => {
    const raw = await RawGrpc.connect(api.grpcAddress);
    // ServerReflectionRequest.list_services (7)
    const stream = raw.open('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo');
    stream.write(frame(Buffer.from([0x3a, 0x00])));
    const [answer] = (await once(stream, 'data')) as [Buffer];
    for (const name of ['safelight.v1.JobService', 'safelight.v1.CatalogService', 'grpc.health.v1.Health'])
      expect(answer.includes(name)).toBe(true);
    expect(answer.includes('worker')).toBe(false);
    raw.close();
  });

  it('closes within a bounded time although a client reads nothing, and tells others that it goes', async () => {
    const key = { 'x-api-key': 'sixteen-characters-and-more' };
    const clients = new GrpcClients(api.grpcAddress);
    const { id } = await clients.submit({ prompt: 'x' }, { metadata: key });
    const metadata = new Metadata();
    metadata.set('x-api-key', key['x-api-key']);
    const request = WatchJobRequest.fromPartial({ id });
    const watching = clients.jobs.watchJob(request, metadata);
    const told = readAll(watching);
    await once(watching, 'data');
    const deaf = await RawGrpc.connect(api.grpcAddress, 0);
    const stream = deaf.open('/safelight.v1.JobService/WatchJob', {
      headers: key,
      message: WatchJobRequest.encode(request).finish(),
    });
    await once(stream, 'response');
    const began = performance.now();
    await api.closeServer();
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(await told).toMatchObject({ status: 'UNAVAILABLE', details: expect.stringContaining('the server stops') });
    await expect(RawGrpc.connect(api.grpcAddress)).rejects.toThrow('ECONNREFUSED');
    deaf.close();
    clients.close();
  });
});

describe('The address of gRPC', () => {
  const port = (value: number | null, http: number) => grpcPort(new GrpcConfig({ port: value }), http);

  it.each([
    [null, 8720, 8721],
    [null, 0, 0],
    [null, 65_535, 65_534],
    [0, 8720, 0],
    [9000, 0, 9000],
  ])('of the setting %s beside HTTP at %d is %d', (setting, http, expected) => {
    expect(port(setting, http)).toBe(expected);
  });

  it('says so when another program has it', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const taken = (other.address() as AddressInfo).port;
    const server = serverAt('127.0.0.1', taken);
    await expect(server.createClient()).rejects.toMatchObject({
      name: 'GrpcListenError',
      code: 'EADDRINUSE',
      port: taken,
    });
    await server.close();
    other.close();
  });

  it('says so when it is none of this machine', async () => {
    const server = serverAt('192.0.2.1', 0);
    const refusal: unknown = await server.createClient().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(GrpcListenError);
    expect(refusal).toMatchObject({ code: 'EADDRNOTAVAIL' });
    await server.close();
  });

  beforeAll(() => setLogger({}));

  function serverAt(host: string, at: number): GrpcServer {
    return new GrpcServer({
      host,
      port: at,
      credentials: ServerCredentials.createInsecure(),
      definitions: serviceDefinitions(1024),
      server: {},
      health: new Health(() => true),
    });
  }
});

describe('gRPC with a certificate', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-tls-'));
    execFileSync('python-worker/.venv/bin/python', ['test/support/grpc-certificate.py', folder]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is served to clients that trust it', async () => {
    const [tlsCert, tlsKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const api = await startApi({ grpc: { tlsCert, tlsKey } });
    const trusting = new GrpcClients(
      api.grpcAddress,
      { 'grpc.ssl_target_name_override': 'localhost' },
      credentials.createSsl(readFileSync(tlsCert)),
    );
    const plain = new GrpcClients(api.grpcAddress);
    try {
      expect((await answerOf(trusting.catalog.listModels.bind(trusting.catalog), {})).models).toHaveLength(1);
      const refused = answerOf(plain.catalog.listModels.bind(plain.catalog), {}, { deadlineMs: 5_000 });
      await expect(refused).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    } finally {
      trusting.close();
      plain.close();
      await api.close();
    }
  });

  it('does not start with one that is none', async () => {
    const broken = join(folder, 'broken.pem');
    writeFileSync(broken, 'no certificate');
    const error = { name: 'GrpcCertificateError' };
    const key = join(folder, 'key.pem');
    await expect(grpcCredentials({ tlsCert: broken, tlsKey: key })).rejects.toMatchObject(error);
    await expect(grpcCredentials({ tlsCert: join(folder, 'none.pem'), tlsKey: key })).rejects.toMatchObject(error);
  });
});
