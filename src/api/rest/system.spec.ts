import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { VERSION } from '../../telemetry/version.js';
import { SystemSchema } from './dto/system-schemas.js';

describe('GET /v1/system', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi();
  });
  afterEach(() => api.close());

  it('tells versions, node, database, devices, models and settings', async () => {
    const { status, json } = await api.get('/v1/system');
    expect(status).toBe(200);
    expect(json).toMatchObject({
      object: 'system',
      versions: { safelight: VERSION, node: process.versions.node },
      node: { id: 'node-1', name: 'here', state: 'serving' },
      database: { kind: 'sqlite', shared: false },
      workers: [{ id: 'cpu:0#1', device: 'cpu:0', device_kind: 'cpu', versions: { torch: '2.13.0' } }],
      models: [{ id: 'shapes', family: 'sd15', weights: [] }],
      settings: { http: { host: '127.0.0.1' }, webhooks: { secret: null } },
    });
    expect(json.database.version).toMatch(/^3\.\d+/);
    expect(Date.parse(json.node.started_at)).toBeLessThanOrEqual(Date.now());
    expect(SystemSchema.strict().parse(json)).toEqual(json);
  });

  it('tells the hash of the weights a worker has loaded', async () => {
    const sha256 = 'ab'.repeat(32);
    const footprint = { model: 'shapes', deviceKind: 'cpu', dtype: 'float32', weightsBytes: 7 } as const;
    await api.footprints.save(
      { ...footprint, weightsSha256: sha256, components: {}, phases: [], overruns: [] },
      Date.now(),
    );
    const { json } = await api.get('/v1/system');
    expect(json.models[0].weights).toEqual([{ device_kind: 'cpu', dtype: 'float32', bytes: 7, sha256 }]);
  });

  it('answers while the database is away, and says so', async () => {
    await api.store.close();
    const { status, json } = await api.get('/v1/system');
    expect([status, json.database]).toEqual([200, { kind: null, version: null, shared: false }]);
    expect(json.workers).toHaveLength(1);
  });

  it('is for keys that operate or monitor', async () => {
    const apiKey = 'sixteen-characters-and-more';
    const keyed = await startApi({ access: { apiKey } });
    try {
      expect((await keyed.get('/v1/system')).status).toBe(401);
      const answer = await keyed.get('/v1/system', { Authorization: `Bearer ${apiKey}` });
      expect(answer.status).toBe(200);
      expect(answer.text).not.toContain(apiKey);
    } finally {
      await keyed.close();
    }
  });
});
