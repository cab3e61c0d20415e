import { createParser } from 'eventsource-parser';

import { ServerProcess } from '../support/server-process.js';

interface Told {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: Record<string, unknown>;
}

describe('the event stream of a job', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start({ workers: { preview_interval_ms: 100 } });
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  /** Reads the stream to its end, or until `enough`. */
  async function follow(
    path: string,
    headers: Record<string, string> = {},
    enough: (told: Told[]) => boolean = () => false,
  ): Promise<Told[]> {
    const told: Told[] = [];
    const leave = new AbortController();
    const response = await fetch(server.url + path, { headers, signal: leave.signal });
    const parser = createParser({
      onEvent: ({ id, event, data }) => told.push({ id, event, data: JSON.parse(data) as Record<string, unknown> }),
    });
    const decoder = new TextDecoder();
    for await (const chunk of response.body!) {
      parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
      if (enough(told)) break;
    }
    return told;
  }

  it('tells states, phases, steps, previews while watched, the picture, and the job as it ended', async () => {
    const { id } = await server.submit({
      prompt: 'a red circle',
      num_inference_steps: 100,
      width: 128,
      height: 128,
      seed: 9,
    });
    const told = await follow(`/v1/jobs/${id}/events?previews=true`);
    const ids = told.filter(({ event }) => event !== 'preview').map((each) => Number(each.id));
    expect(ids).toEqual(ids.map((_, index) => index + 1));
    expect(told.flatMap(({ event, data }) => (event === 'state' ? [data['state']] : []))).toEqual([
      'queued',
      'running',
      'succeeded',
    ]);
    expect(
      told.flatMap(({ event, data }) => (event === 'phase' ? [data['phase']] : [])).filter((phase) => phase !== 'load'),
    ).toEqual(['encode', 'prepare', 'denoise', 'decode', 'validate', 'save']);
    const fractions = told.flatMap(({ event, data }) => (event === 'progress' ? [Number(data['fraction'])] : []));
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    const preview = told.find(({ event }) => event === 'preview');
    expect(Buffer.from(String(preview?.data['data_base64']), 'base64').subarray(0, 2)).toEqual(
      Buffer.from([0xff, 0xd8]),
    );
    const last = told.at(-1);
    expect(last).toMatchObject({ event: 'final', data: { job: { id, state: 'succeeded', artifacts: [{ seed: 9 }] } } });
    expect(told.filter(({ event }) => event === 'artifact')).toHaveLength(1);
  });

  it('goes on where a client left off, without a gap and without a repetition', async () => {
    const { id } = await server.submit({ prompt: 'a red circle', num_inference_steps: 100, width: 128, height: 128 });
    const before = await follow(`/v1/jobs/${id}/events`, {}, (told) => told.length >= 4);
    const seen = Number(before.at(-1)!.id);
    const after = await follow(`/v1/jobs/${id}/events`, { 'last-event-id': String(seen) });
    expect(Number(after[0]!.id)).toBe(seen + 1);
    expect(after.at(-1)!.event).toBe('final');
  });

  it('is not needed by who would rather wait', async () => {
    const response = await server.post(
      '/v1/jobs',
      { prompt: 'a blue square', num_inference_steps: 2 },
      { prefer: 'wait=60' },
    );
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      state: 'succeeded',
      effective: { num_inference_steps: 2, dtype: 'float32' },
    });
  });

  it('is served beside health, models, workers and metrics of the same truth', async () => {
    const { data: models } = await server.get<{ data: Record<string, unknown>[] }>('/v1/models');
    expect(models).toEqual([expect.objectContaining({ id: 'tiny', default: true, family: 'sd15' })]);
    const { data: workers } = await server.get<{ data: Record<string, unknown>[] }>('/v1/workers');
    expect(workers).toEqual([expect.objectContaining({ device: 'cpu:0', models: ['tiny'], restarts: 0 })]);
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/safelight_jobs_finished_total\{state="succeeded"\} [1-9]/);
    expect(metrics).toContain('safelight_phase_seconds_bucket');
  });
});
