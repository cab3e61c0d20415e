import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { answerOf, GrpcClients, refusalOfCall } from '../../../test/support/grpc-client.js';
import { PICTURES } from '../../../test/support/pictures.js';
import type { DeepPartial } from '../../gen/safelight/v1/safelight.pb.js';
import {
  Fidelity,
  JobState,
  ListJobsRequest,
  MaskTransparency,
  OutputFormat,
  Priority,
  SubmitJobsRequest,
} from '../../gen/safelight/v1/safelight.pb.js';

const UUID = '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5';
const PNG = Buffer.from(PICTURES['a PNG'], 'base64');

describe('The calls about jobs', () => {
  let api: RunningApi;
  let grpc: GrpcClients;
  beforeEach(async () => {
    api = await startApi({
      grpc: {},
      maxWaiting: 3,
      maxBodyBytes: 30 * 1024 * 1024,
      model: {
        capabilities: ['text_to_image', 'image_to_image', 'inpaint', 'lora'],
        loras: [{ id: 'ink', source: '/ink.safetensors' }],
      },
    });
    grpc = new GrpcClients(api.grpcAddress);
  });
  afterEach(async () => {
    grpc.close();
    await api.close();
  });

  const get = (id: string) => answerOf(grpc.jobs.getJob.bind(grpc.jobs), { id });
  const cancel = (id: string) => answerOf(grpc.jobs.cancelJob.bind(grpc.jobs), { id });
  const list = (request: DeepPartial<ListJobsRequest>) =>
    answerOf(grpc.jobs.listJobs.bind(grpc.jobs), ListJobsRequest.fromPartial(request));
  const submitAll = (requests: object[], metadata: Record<string, string> = {}) =>
    answerOf(grpc.jobs.submitJobs.bind(grpc.jobs), SubmitJobsRequest.fromPartial({ requests }), { metadata });

  it('accepts a job, which REST shows as the same', async () => {
    const job = await grpc.submit({
      prompt: 'a red square',
      negativePrompt: 'blue',
      width: 72,
      height: 64,
      numInferenceSteps: 5,
      guidanceScale: 3.5,
      numImages: 2,
      seed: '9223372036854775806',
      scheduler: 'Euler a',
      schedulerOptions: { timestep_spacing: 'trailing' },
      priority: Priority.PRIORITY_HIGH,
      outputFormat: OutputFormat.OUTPUT_FORMAT_WEBP,
      exact: true,
      maxDegradation: Fidelity.FIDELITY_IDENTICAL,
      finishBy: new Date(Date.now() + 3_600_000),
      timeBudget: { seconds: '1', nanos: 500_000_000 },
      metadata: { of: 'mine' },
    });
    expect(job).toMatchObject({ state: JobState.JOB_STATE_QUEUED, queuePosition: 1, waitingFor: 'capacity' });
    const { json } = await api.get(`/v1/jobs/${job.id}`);
    expect(json.request).toMatchObject({
      prompt: 'a red square',
      negative_prompt: 'blue',
      width: 72,
      num_inference_steps: 5,
      guidance_scale: 3.5,
      num_images: 2,
      seed: 9223372036854775806n,
      scheduler: 'EulerAncestralDiscreteScheduler',
      scheduler_options: { timestep_spacing: 'trailing' },
      priority: 'high',
      output_format: 'webp',
      exact: true,
      max_degradation: 'identical',
      time_budget_ms: 1500,
      metadata: { of: 'mine' },
    });
    expect(job.request).toMatchObject({
      seed: '9223372036854775806',
      schedulerOptions: { timestep_spacing: 'trailing' },
      timeBudget: { seconds: '1', nanos: 500_000_000 },
      finishBy: new Date(json.request.finish_by as string),
      outputFormat: OutputFormat.OUTPUT_FORMAT_WEBP,
    });
    expect((await get(job.id)).job).toEqual(job);
  });

  it('takes pictures as bytes, and tells what became of them', async () => {
    const image = { source: { $case: 'data' as const, value: PNG } };
    const mask = { maskImage: image, maskTransparency: MaskTransparency.MASK_TRANSPARENCY_PAINTED };
    const output = { outputFormat: OutputFormat.OUTPUT_FORMAT_JPEG, outputQuality: 70 };
    const request = { prompt: 'x', initImage: image, ...mask, ...output, strength: 0.35 };
    const job = await grpc.submit({ ...request, loras: [{ id: 'ink', weight: -1.5 }] });
    const seen = { source: undefined, sizeBytes: String(PNG.length), mediaType: 'image/png', width: 23, height: 17 };
    expect(job.request).toMatchObject({
      ...mask,
      ...output,
      initImage: seen,
      maskImage: seen,
      strength: 0.35,
      loras: [{ weight: -1.5 }],
    });
    const { json } = await api.get(`/v1/jobs/${job.id}`);
    expect(json.request.init_image.sha256).toBe(job.request?.initImage?.sha256);
  });

  it('judges a request as REST does, in the same words', async () => {
    const loras = [{ id: 'none', weight: 9 }];
    const wrong = { prompt: '', width: 65, seed: '-1', scheduler: 'nope', loras };
    const refusal = await refusalOfCall(grpc.submit(wrong));
    const { json } = await api.post('/v1/jobs', { ...wrong, seed: -1 });
    expect(refusal.code).toBe('INVALID_ARGUMENT');
    expect(refusal.details).toContain(json.detail as string);
    for (const { field, message } of (json.errors as { field: string; message: string }[]).slice(0, 3)) {
      expect(refusal.details).toContain(`${field} ${message}`);
    }
    expect(await api.countJobs()).toBe(0);
  });

  it.each([
    ['a number without a word', { priority: 99 as Priority }, 'priority must be one of urgent, high, normal, low'],
    ['a time nobody can write', { startBy: new Date(Date.UTC(12_000, 0)) }, 'start_by must be a time with its offset'],
    ['a share of a millisecond', { timeBudget: { seconds: '0', nanos: 1 } }, 'time_budget must be a whole number'],
    ['a scale that is none', { guidanceScale: Number.NaN }, 'guidance_scale must be a finite number'],
    ['a picture without a source', { initImage: { width: 8 }, strength: 0.5 }, 'strength needs init_image'],
    [
      'base64 where an address belongs',
      { initImage: { source: { $case: 'url' as const, value: PICTURES['a PNG'] } } },
      'init_image.url must be an http or https address',
    ],
    [
      'an address where none are fetched',
      { initImage: { source: { $case: 'url' as const, value: 'https://example.org/a.png' } } },
      'init_image ',
    ],
  ])('refuses %s', async (_, fields, details) => {
    const refusal = await refusalOfCall(grpc.submit({ prompt: 'x', ...fields }));
    expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', details: expect.stringContaining(details) });
    expect(await api.countJobs()).toBe(0);
  });

  it('gives the same job to the same key and request, over REST too', async () => {
    const first = await grpc.submit({ prompt: 'x' }, { metadata: { 'idempotency-key': 'k' } });
    const message = { request: first.request && { ...first.request, prompt: 'x' }, idempotencyKey: 'k' };
    expect((await api.post('/v1/jobs', { prompt: 'x' }, { 'Idempotency-Key': 'k' })).json.id).toBe(first.id);
    const refusal = await refusalOfCall(answerOf(grpc.jobs.submitJob.bind(grpc.jobs), message));
    expect(refusal).toMatchObject({ code: 'ALREADY_EXISTS', details: expect.stringContaining(first.id) });
    const torn = answerOf(grpc.jobs.submitJob.bind(grpc.jobs), message, { metadata: { 'idempotency-key': 'other' } });
    expect(await refusalOfCall(torn)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await api.countJobs()).toBe(1);
  });

  it('accepts all of a batch or none, and names where it fails', async () => {
    expect((await submitAll([{ prompt: 'one' }, { prompt: 'two' }])).jobs.map((job) => job.request?.prompt)).toEqual([
      'one',
      'two',
    ]);
    const wrong = await refusalOfCall(submitAll([{ prompt: 'x' }, { prompt: 'x', height: 65 }]));
    expect(wrong.details).toContain('requests[1].height must be a multiple of 8');
    expect((await refusalOfCall(submitAll([]))).details).toContain('requests must be at least 1');
    expect(await api.countJobs()).toBe(2);
  });

  it('tells a full queue with the time to come back', async () => {
    await submitAll([{ prompt: 'x' }, { prompt: 'x' }, { prompt: 'x' }]);
    const refusal = await refusalOfCall(grpc.submit({ prompt: 'x' }));
    expect(refusal).toMatchObject({ code: 'RESOURCE_EXHAUSTED', details: expect.stringContaining('the limit is 3') });
    expect(refusal.metadata.get('safelight-code')).toEqual(['queue_full']);
    expect(Number(refusal.metadata.get('retry-after')[0])).toBeGreaterThanOrEqual(1);
  });

  it('reads a job to its end, with what it made', async () => {
    const { id } = await grpc.submit({ prompt: 'x' });
    await api.succeed(await api.claim(), Buffer.from('a picture'));
    const { job } = await get(id);
    expect(job).toMatchObject({
      state: JobState.JOB_STATE_SUCCEEDED,
      artifacts: [{ index: 0, mediaType: 'image/png', sizeBytes: '9', seed: '9223372036854775807' }],
      attempts: [{ number: 1, node: 'here', outcome: 'succeeded', phases: [{ fromStep: 0, toStep: 20 }] }],
      effective: {},
      queuePosition: undefined,
    });
    expect(job?.finishedAt).toBeInstanceOf(Date);
  });

  it.each([
    ['a stranger', UUID],
    ['no id', ''],
    ['a path', '../../etc/passwd'],
    ['a long text', 'x'.repeat(100_000)],
  ])('knows no job of the id of %s', async (_, id) => {
    expect(await refusalOfCall(get(id))).toMatchObject({ code: 'NOT_FOUND', details: 'no job has this id' });
    expect(await refusalOfCall(cancel(id))).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('cancels a job at once while it waits, and leaves a final one as it is', async () => {
    const { id } = await grpc.submit({ prompt: 'x' });
    expect((await cancel(id)).job?.state).toBe(JobState.JOB_STATE_CANCELLED);
    const again = await cancel(id);
    expect(again.job).toEqual((await get(id)).job);
  });

  it('lists jobs page by page, newest first, by state, model and priority', async () => {
    const ids = (await submitAll([{ prompt: 'a' }, { prompt: 'b' }, { prompt: 'c', priority: 1 }])).jobs.map(
      (job) => job.id,
    );
    const first = await list({ pageSize: 2 });
    expect(first.jobs.map((job) => job.id)).toEqual([ids[2], ids[1]]);
    const second = await list({ pageSize: 2, pageToken: first.nextPageToken });
    expect([second.jobs.map((job) => job.id), second.nextPageToken]).toEqual([[ids[0]], '']);
    expect((await list({ priority: Priority.PRIORITY_LOW })).jobs.map((job) => job.id)).toEqual([ids[2]]);
    expect((await list({ states: [JobState.JOB_STATE_RUNNING] })).jobs).toEqual([]);
    expect((await list({ model: 'another' })).jobs).toEqual([]);
  });

  it.each([
    [{ pageSize: 201 }, 'page_size must be a whole number from 1 to 200'],
    [{ pageToken: 'x' }, 'page_token must be a next_cursor'],
    [{ states: [77 as JobState] }, 'states must be one or more of'],
    [{ states: [JobState.JOB_STATE_UNSPECIFIED] }, 'states must be one or more of'],
  ])('refuses the list %j', async (request, details) => {
    const refusal = await refusalOfCall(list(request));
    expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', details: expect.stringContaining(details) });
  });
});
