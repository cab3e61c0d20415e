import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { keyEntry, KEYS } from '../../../test/support/keys.js';
import { claimed } from '../../../test/support/made.js';
import { pngOf } from '../../../test/support/pictures.js';
import { attemptRecord } from '../../../test/support/jobs.js';
import { eventually } from '../../../test/support/signals.js';

const PNG = pngOf(64, 64, (x, y) => [x, y, 128]);

const basic = (id: keyof typeof KEYS) => ({ Authorization: `Basic ${btoa(`user:${KEYS[id]}`)}` });

let api: RunningApi;
afterEach(() => api.close());

describe('progress and interrupt', () => {
  beforeEach(async () => {
    api = await startApi({
      access: { keys: [keyEntry('ada', 'user'), keyEntry('bob', 'user'), keyEntry('ops', 'operator')] },
    });
  });

  const ask = (who: keyof typeof KEYS, more = {}) =>
    api.post('/sdapi/v1/txt2img', { prompt: 'a circle', ...more }, basic(who));
  const progress = async (who: keyof typeof KEYS, query = '') =>
    (await api.get(`/sdapi/v1/progress${query}`, basic(who))).json;
  const task = async (who: keyof typeof KEYS, id: string) =>
    (await api.post('/internal/progress', { id_task: id, id_live_preview: -1, live_preview: true }, basic(who))).json;

  it('are the caller’s own', async () => {
    const asked = ask('ada', { force_task_id: 'task(a)' });
    const claim = await claimed(api);
    const running = await eventually('it is seen', async () => {
      const seen = await progress('ada');
      return seen.state.job === 'task(a)' ? seen : null;
    });
    expect(running).toMatchObject({
      progress: expect.any(Number),
      eta_relative: expect.any(Number),
      state: {
        ...{ skipped: false, interrupted: false, stopping_generation: false, job: 'task(a)', job_count: 1, job_no: 0 },
        ...{ job_timestamp: expect.stringMatching(/^\d{14}$/), sampling_step: 0, sampling_steps: expect.any(Number) },
      },
      current_image: null,
      textinfo: expect.any(String),
    });
    for (const other of ['bob', 'ops'] as const) {
      expect(await progress(other)).toMatchObject({
        progress: 0,
        state: { job: '', job_count: 0, job_timestamp: '0' },
      });
      expect(await task(other, 'task(a)')).toMatchObject({ active: false, queued: false, completed: false });
      expect((await api.post('/sdapi/v1/interrupt', undefined, basic(other))).json).toEqual({});
      await api.post('/sdapi/v1/interrupt?force_task_id=task(a)', {}, basic(other));
    }
    expect((await api.store.get(claim.jobId))?.cancelRequestedAt).toBeNull();
    expect(await task('ada', 'task(a)')).toMatchObject({ active: true, queued: false, completed: false });

    expect((await api.request('POST', '/sdapi/v1/interrupt', { headers: basic('ada') })).json).toEqual({});
    expect(await progress('ada')).toMatchObject({ state: { interrupted: true, stopping_generation: true } });
    const record = attemptRecord({ outcome: 'cancelled', finishedAt: Date.now() });
    const ended = await api.store.endIfClaimed(claim, record, { state: 'cancelled', failure: null }, Date.now());
    if (!ended.recorded) throw new Error('expected the claim to hold');
    api.events.publish(ended.events);
    const { status, json } = await asked;
    expect(status).toBe(200);
    expect(json.images).toEqual([]);
    expect(JSON.parse(json.info)).toMatchObject({ all_seeds: [], infotexts: [] });
    expect(await task('ada', 'task(a)')).toMatchObject({ active: false, completed: true });
    expect(await task('bob', 'task(a)')).toMatchObject({ completed: false });
  });

  it('can be about one request of several', async () => {
    const first = ask('ada', { force_task_id: 'one' });
    const claim = await claimed(api);
    const second = ask('ada', { force_task_id: 'two' });
    await eventually('both are there', async () => ((await progress('ada')).state.job_count === 2 ? true : null));
    expect(await task('ada', 'two')).toMatchObject({ active: false, queued: true, textinfo: 'In queue: 1' });
    await api.post('/sdapi/v1/skip', { force_task_id: 'two' }, basic('ada'));
    expect((await second).json.images).toEqual([]);
    expect(await progress('ada', '?force_task_id=one')).toMatchObject({ state: { job: 'one', interrupted: false } });
    await api.succeed(claim, PNG);
    expect((await first).json.images).toHaveLength(1);
  });

  it('are found where another node holds the request', async () => {
    const metadata = { a1111_task: 'elsewhere' };
    const { json } = await api.post('/v1/jobs', { prompt: 'a circle', metadata }, basic('ada'));
    await api.post('/v1/jobs', { prompt: 'a job of the native resource' }, basic('ada'));
    expect(await progress('ada')).toMatchObject({ state: { job: 'elsewhere', job_count: 1 } });
    await api.post('/sdapi/v1/interrupt', undefined, basic('bob'));
    await api.post('/sdapi/v1/interrupt', undefined, basic('ada'));
    expect((await api.store.get(json.id))?.state).toBe('cancelled');
    expect(await api.store.countByState()).toMatchObject({ queued: 1, cancelled: 1 });
  });

  it('shows the latest preview, unless it is not wanted', async () => {
    const asked = ask('ada', { force_task_id: 'task(a)' });
    const claim = await claimed(api);
    await eventually('it is seen', async () => ((await progress('ada')).state.job_count === 1 ? true : null));
    api.events.publishPreview({ jobId: claim.jobId, step: 3, mediaType: 'image/jpeg', data: Buffer.from('frame') });
    const frame = Buffer.from('frame').toString('base64');
    expect(await progress('ada')).toMatchObject({ current_image: frame });
    expect(await progress('ada', '?skip_current_image=true')).toMatchObject({ current_image: null });
    const seen = await task('ada', 'task(a)');
    expect(seen).toMatchObject({ live_preview: `data:image/jpeg;base64,${frame}`, id_live_preview: 3 });
    const again = { id_task: 'task(a)', id_live_preview: 3 };
    const { json } = await api.post('/internal/progress', again, basic('ada'));
    expect(json).toMatchObject({ live_preview: null, id_live_preview: 3 });
    await api.succeed(claim, PNG);
    await asked;
  });

  it('needs a key, and says so where clients look', async () => {
    const { status, json, headers } = await api.get('/sdapi/v1/progress');
    expect(status).toBe(401);
    expect(json.detail).toEqual(expect.any(String));
    expect(headers.get('www-authenticate')).toContain('Basic');
  });
});
