import type { AnyJson, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { attemptRecord } from '../../../test/support/jobs.js';
import { failure } from '../../domain/failure/failure.js';
import { LogConfig } from '../../config/log.config.js';
import { HIDDEN_PROMPT } from '../../telemetry/hide-prompts.js';
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
    const { json: job } = await api.get(`/v1/jobs/${submitted.id}`);
    expect(json.job).toEqual({ ...job, request: { ...job.request, prompt: HIDDEN_PROMPT } });
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

  async function failedRecord(of: RunningApi): Promise<AnyJson> {
    const { json: submitted } = await of.post('/v1/jobs', { prompt: 'a red circle', negative_prompt: 'blurry' });
    const message = "ValueError: cannot tokenize 'a red circle'";
    const quoting = failure('internal', message, { phase: 'encode', detail: `File "x.py"\n${message}` });
    const record = attemptRecord({ outcome: 'failed', failure: quoting });
    const claim = await of.claim();
    await of.store.endIfClaimed(claim, record, { state: 'failed', failure: quoting }, Date.now());
    return (await of.get(`/v1/jobs/${submitted.id}/debug`)).json;
  }

  it('hides the prompt, also where a failure quotes it, because it is made to be sent to others', async () => {
    const record = await failedRecord(api);
    expect(record.job.request).toMatchObject({
      prompt: HIDDEN_PROMPT,
      negative_prompt: HIDDEN_PROMPT,
      model: 'shapes',
    });
    expect(record.attempts[0].failure.message).toBe(`ValueError: cannot tokenize '${HIDDEN_PROMPT}'`);
    expect(
      JSON.stringify(record, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    ).not.toMatch(/red circle|blurry/);
  });

  it('shows it where the settings say so', async () => {
    const open = await startApi({ logConfig: new LogConfig({ prompts: 'shown' }) });
    try {
      const record = await failedRecord(open);
      expect(record.job.request.prompt).toBe('a red circle');
      expect(record.attempts[0].failure.detail).toContain("'a red circle'");
    } finally {
      await open.close();
    }
  });

  it('knows no job that was never given out', async () => {
    const answer = await api.get('/v1/jobs/01a1fc57-d5c1-7938-ac1f-c0dda8c0662a/debug');
    expect([answer.status, answer.json.code]).toEqual([404, 'job_not_found']);
  });
});
