import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { attemptRecord } from '../../../test/support/jobs.js';
import { failure } from '../../domain/failure/failure.js';
import { VERSION } from '../../telemetry/version.js';
import { DebugSchema } from './dto/debug-schemas.js';

describe('GET /v1/jobs/{id}/debug', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi();
  });
  afterAll(() => api.close());

  it('tells what the job itself keeps back: traceback, memory, versions', async () => {
    const { json: submitted } = await api.post('/v1/jobs', { prompt: 'a red circle' });
    const claim = await api.claim();
    const lost = failure('device_out_of_memory', 'Memory ran out.', {
      phase: 'denoise',
      step: 3,
      detail: 'Traceback: line 7',
      requestedBytes: 900,
      freeBytes: 100,
    });
    const memory = { totalBytes: 8_000, freeBytes: 100, allocatedBytes: 7_000, reservedBytes: 7_900 };
    const record = attemptRecord({ outcome: 'failed', failure: lost, memory });
    await api.store.endIfClaimed(claim, record, { state: 'failed', failure: lost }, Date.now());

    const { status, json, text } = await api.get(`/v1/jobs/${submitted.id}/debug`);
    expect(status).toBe(200);
    expect(json.job).toEqual((await api.get(`/v1/jobs/${submitted.id}`)).json);
    expect(json).toMatchObject({
      object: 'debug_record',
      version: VERSION,
      next_attempt: { alone: false, avoids: [] },
    });
    expect(json.attempts).toEqual([
      {
        number: 1,
        node: 'here',
        worker: 'cpu:0#1',
        device: 'cpu:0',
        outcome: 'failed',
        failure: {
          kind: 'device_out_of_memory',
          phase: 'denoise',
          step: 3,
          message: 'Memory ran out.',
          field: null,
          detail: 'Traceback: line 7',
          requested_bytes: 900,
          free_bytes: 100,
        },
        memory: { total_bytes: 8_000, free_bytes: 100, allocated_bytes: 7_000, reserved_bytes: 7_900 },
        peak_memory_bytes: 5_000_000_000,
        degradations: [],
        resumed_from_step: null,
        versions: { torch: '2.13.0' },
      },
    ]);
    expect(DebugSchema.strict().parse(json)).toEqual(json);
    expect(JSON.stringify(json.job)).not.toContain('Traceback');
    expect(text).toContain('Traceback');
  });

  it('knows no job that was never given out', async () => {
    const answer = await api.get('/v1/jobs/01a1fc57-d5c1-7938-ac1f-c0dda8c0662a/debug');
    expect([answer.status, answer.json.code]).toEqual([404, 'job_not_found']);
  });
});
