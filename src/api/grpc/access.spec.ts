import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import type { CallOptions } from '../../../test/support/grpc-client.js';
import { answerOf, GrpcClients, metadataOf, readAll, refusalOfCall } from '../../../test/support/grpc-client.js';
import { keyEntry, KEYS } from '../../../test/support/keys.js';
import { GenerateRequest, ListJobsRequest, WatchJobRequest } from '../../gen/safelight/v1/safelight.pb.js';

const as = (key: keyof typeof KEYS): CallOptions => ({ metadata: { authorization: `Bearer ${KEYS[key]}` } });

describe('Keys over gRPC', () => {
  let api: RunningApi;
  let grpc: GrpcClients;
  beforeAll(async () => {
    const keys = [
      keyEntry('ada', 'user', { maxUnfinishedJobs: 2 }),
      keyEntry('bob', 'user'),
      keyEntry('prom', 'monitor'),
      keyEntry('ops', 'operator'),
    ];
    api = await startApi({ grpc: {}, access: { keys } });
    grpc = new GrpcClients(api.grpcAddress);
  });
  afterAll(async () => {
    grpc.close();
    await api.close();
  });

  const get = (id: string, options: CallOptions) => answerOf(grpc.jobs.getJob.bind(grpc.jobs), { id }, options);
  const cancel = (id: string, options: CallOptions) => answerOf(grpc.jobs.cancelJob.bind(grpc.jobs), { id }, options);
  const listed = async (options: CallOptions) =>
    (await answerOf(grpc.jobs.listJobs.bind(grpc.jobs), ListJobsRequest.fromPartial({}), options)).jobs.map(
      ({ id }) => id,
    );
  const models = (options: CallOptions) => answerOf(grpc.catalog.listModels.bind(grpc.catalog), {}, options);
  const workers = (options: CallOptions) => answerOf(grpc.catalog.listWorkers.bind(grpc.catalog), {}, options);
  const watch = (id: string, options: CallOptions) =>
    readAll(grpc.jobs.watchJob(WatchJobRequest.fromPartial({ id }), metadataOf(options)));

  it.each([
    ['no key', {}],
    ['an unknown key', { authorization: 'Bearer sl_guessed' }],
    ['a hash of a key', { 'x-api-key': keyEntry('ada', 'user').sha256 }],
    ['a scheme nobody knows', { authorization: KEYS.ada }],
  ])('refuses %s, and enqueues nothing', async (_, metadata: Record<string, string>) => {
    const before = await api.countJobs();
    for (const call of [grpc.submit({ prompt: 'x' }, { metadata }), models({ metadata }), listed({ metadata })]) {
      const refusal = await refusalOfCall(call);
      expect(refusal).toMatchObject({ code: 'UNAUTHENTICATED', details: expect.stringContaining('x-api-key') });
    }
    const generated = grpc.jobs.generate(
      GenerateRequest.fromPartial({ request: { prompt: 'x' } }),
      metadataOf({ metadata }),
    );
    expect((await readAll(generated)).status).toBe('UNAUTHENTICATED');
    expect(await api.countJobs()).toBe(before);
  });

  it('takes a key under either name', async () => {
    expect((await models({ metadata: { 'x-api-key': KEYS.bob } })).models).toHaveLength(1);
    expect((await models(as('bob'))).models).toHaveLength(1);
    expect((await models({ metadata: { authorization: `basic ${btoa(`me:${KEYS.bob}`)}` } })).models).toHaveLength(1);
  });

  it('shows a user the jobs of its own key, and an operator all', async () => {
    const { id } = await grpc.submit({ prompt: 'x' }, as('bob'));
    expect(await listed(as('bob'))).toContain(id);
    expect(await listed(as('ops'))).toContain(id);
    expect(await listed(as('ada'))).not.toContain(id);
    for (const call of [get(id, as('ada')), cancel(id, as('ada'))]) {
      expect(await refusalOfCall(call)).toMatchObject({ code: 'NOT_FOUND', details: 'no job has this id' });
    }
    expect(await watch(id, as('ada'))).toMatchObject({ status: 'NOT_FOUND', messages: [] });
    const picture = grpc.jobs.downloadArtifact({ jobId: id, index: 0 }, metadataOf(as('ada')));
    expect(await readAll(picture)).toMatchObject({ status: 'NOT_FOUND', details: 'no job has this id' });
    expect((await cancel(id, as('ops'))).job?.id).toBe(id);
    expect((await watch(id, as('bob'))).status).toBe('OK');
  });

  it('lets a key that monitors see the server and no job', async () => {
    expect((await workers(as('prom'))).workers).toMatchObject([
      { id: 'cpu:0#1', pid: 4711, deviceName: 'a processor' },
    ]);
    expect((await models(as('prom'))).models).toHaveLength(1);
    for (const call of [grpc.submit({ prompt: 'x' }, as('prom')), listed(as('prom'))]) {
      const refusal = await refusalOfCall(call);
      expect(refusal).toMatchObject({ code: 'PERMISSION_DENIED', details: expect.stringContaining('role monitor') });
    }
  });

  it('lets a user see models, and no workers', async () => {
    expect((await models(as('ada'))).models).toHaveLength(1);
    expect((await refusalOfCall(workers(as('ada')))).code).toBe('PERMISSION_DENIED');
  });

  it('holds a key to its share', async () => {
    await grpc.submit({ prompt: 'x' }, as('ada'));
    await grpc.submit({ prompt: 'x' }, as('ada'));
    const refusal = await refusalOfCall(grpc.submit({ prompt: 'x' }, as('ada')));
    expect(refusal).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    expect(refusal.details).toContain('max_unfinished_jobs');
    expect(refusal.metadata.get('safelight-code')).toEqual(['quota_exceeded']);
    expect(Number(refusal.metadata.get('retry-after')[0])).toBeGreaterThanOrEqual(1);
  });
});
