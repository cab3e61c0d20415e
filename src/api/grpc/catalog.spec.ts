import type { RunningApi } from '../../../test/support/api.js';
import { startApi, workerDescription } from '../../../test/support/api.js';
import { answerOf, GrpcClients } from '../../../test/support/grpc-client.js';

describe('What the server can run, over gRPC', () => {
  let api: RunningApi;
  let grpc: GrpcClients;
  beforeAll(async () => {
    const addOn = (id: string) => [{ id, source: `/secret/${id}` }];
    const model = { loras: addOn('ink'), controlnets: addOn('canny'), ipAdapters: addOn('face') };
    api = await startApi({ grpc: {}, model });
    grpc = new GrpcClients(api.grpcAddress);
  });
  beforeEach(() => {
    api.workers.splice(0, api.workers.length, workerDescription());
  });
  afterAll(async () => {
    grpc.close();
    await api.close();
  });

  const models = async () => (await answerOf(grpc.catalog.listModels.bind(grpc.catalog), {})).models;
  const workers = async () => (await answerOf(grpc.catalog.listWorkers.bind(grpc.catalog), {})).workers;

  it('lists the models as REST does, without their files', async () => {
    const [model] = await models();
    const { json } = await api.get('/v1/models/shapes');
    expect(model).toEqual({
      id: 'shapes',
      aliases: json.aliases,
      family: 'sd15',
      ready: true,
      loaded: true,
      default: true,
      limits: json.limits,
      defaults: json.defaults,
      schedulers: json.schedulers,
      capabilities: ['text_to_image'],
      loras: ['ink'],
      controlnets: ['canny'],
      ipAdapters: ['face'],
    });
    expect(JSON.stringify(model)).not.toContain('secret');
  });

  it('says of a model whether a worker would run it, and at once', async () => {
    api.workers.splice(0, 1, workerDescription({ models: [] }));
    expect(await models()).toMatchObject([{ ready: true, loaded: false }]);
    api.workers.splice(0, 1, workerDescription({ state: 'defunct' }));
    expect(await models()).toMatchObject([{ ready: false, loaded: false }]);
  });

  it('lists the workers', async () => {
    const silent = { pid: null, memory: null, versions: null, reason: 'it starts' };
    api.workers.push(workerDescription({ id: 'cpu:0#2', state: 'starting', ...silent }));
    expect(await workers()).toEqual([
      {
        id: 'cpu:0#1',
        node: 'here',
        device: 'cpu:0',
        deviceName: 'a processor',
        state: 'ready',
        pid: 4711,
        models: ['shapes'],
        running: 0,
        memory: { totalBytes: '8000', freeBytes: '5000', allocatedBytes: '2000', reservedBytes: '3000' },
        restarts: 0,
        reason: '',
        versions: { torch: '2.13.0' },
      },
      expect.objectContaining({
        id: 'cpu:0#2',
        state: 'starting',
        pid: 0,
        memory: undefined,
        reason: 'it starts',
        versions: {},
      }),
    ]);
  });
});
