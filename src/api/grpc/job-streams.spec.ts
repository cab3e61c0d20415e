import { once } from 'node:events';

import type { ClientReadableStream } from '@grpc/grpc-js';

import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import type { CallOptions } from '../../../test/support/grpc-client.js';
import { deadlineOf, endOf, GrpcClients, kindsOf, metadataOf, readAll } from '../../../test/support/grpc-client.js';
import { attemptRecord, progress } from '../../../test/support/jobs.js';
import { eventually } from '../../../test/support/signals.js';
import { failure } from '../../domain/failure/failure.js';
import type { DeepPartial, GenerateResponse, WatchJobResponse } from '../../gen/safelight/v1/safelight.pb.js';
import { GenerateRequest, JobState, Phase, WatchJobRequest } from '../../gen/safelight/v1/safelight.pb.js';

describe('The calls that follow jobs', () => {
  let api: RunningApi;
  let grpc: GrpcClients;
  beforeEach(async () => {
    api = await startApi({ grpc: {} });
    grpc = new GrpcClients(api.grpcAddress);
  });
  afterEach(async () => {
    grpc.close();
    await api.close();
  });

  function watch(
    request: DeepPartial<WatchJobRequest>,
    options: CallOptions = {},
  ): ClientReadableStream<WatchJobResponse> {
    return grpc.jobs.watchJob(WatchJobRequest.fromPartial(request), metadataOf(options), deadlineOf(options));
  }

  function generate(options: CallOptions = {}, more: object = {}): ClientReadableStream<GenerateResponse> {
    const request = GenerateRequest.fromPartial({ request: { prompt: 'x', seed: '7' }, ...more });
    return grpc.jobs.generate(request, metadataOf(options), deadlineOf(options));
  }

  const stateOf = async (id: string) => (await api.store.get(id))?.state;

  /** The job once the server has been asked to cancel it. */
  const cancelled = (id: string) =>
    eventually('the job is cancelled', async () => {
      const job = await api.store.get(id);
      return job?.cancelRequestedAt == null && job?.state !== 'cancelled' ? null : job;
    });

  async function runThrough(): Promise<void> {
    const claim = await api.claim();
    const events = [
      { type: 'phase', phase: 'denoise', attempt: 1 } as const,
      { type: 'progress', progress: progress() } as const,
    ];
    api.events.publish((await api.store.recordProgressIfClaimed(claim, progress(), events, Date.now())).events);
    await api.succeed(claim);
  }

  describe('WatchJob', () => {
    it('tells what happens while it happens, and ends after the final event', async () => {
      const { id } = await grpc.submit({ prompt: 'x' });
      const call = watch({ id });
      const [first] = (await once(call, 'data')) as [WatchJobResponse];
      expect(first.event).toEqual({
        id: '1',
        event: { $case: 'state', value: { state: JobState.JOB_STATE_QUEUED, attempt: 0 } },
      });
      const rest = readAll(call);
      await runThrough();
      const { messages, status } = await rest;
      expect(status).toBe('OK');
      expect(kindsOf(messages)).toEqual(['state', 'phase', 'progress', 'artifact', 'state', 'final']);
      expect(messages.map(({ event }) => event?.id)).toEqual(['2', '3', '4', '5', '6', '7']);
      expect(messages[1]?.event?.event).toEqual({ $case: 'phase', value: { phase: Phase.PHASE_DENOISE, attempt: 1 } });
      expect(messages[2]?.event?.event).toEqual({
        $case: 'progress',
        value: { phase: Phase.PHASE_DENOISE, step: 7, steps: 20, fraction: 0.41, eta: { seconds: '0', nanos: 9e8 } },
      });
      expect(messages[3]?.event?.event).toMatchObject({ value: { index: 0, seed: '9223372036854775807' } });
      expect(messages[5]?.event?.event).toMatchObject({ value: { id, state: JobState.JOB_STATE_SUCCEEDED } });
    });

    it.each([
      ['0', ['1', '2', '3', '4', '5', '6', '7']],
      ['5', ['6', '7']],
      ['7', []],
      ['999', []],
    ])('replays what came after event %s', async (afterEvent, ids) => {
      const { id } = await grpc.submit({ prompt: 'x' });
      await runThrough();
      const { messages, status } = await readAll(watch({ id, afterEvent }));
      expect([messages.map(({ event }) => event?.id), status]).toEqual([ids, 'OK']);
    });

    it('shows previews to those who ask for them, and only while they look', async () => {
      const { id } = await grpc.submit({ prompt: 'x' });
      await api.claim();
      const stopped = new Promise<void>((resolve) => {
        api.events.onPreviewsWatched(id, (watched) => watched || resolve());
      });
      const call = watch({ id, previews: true });
      const preview = new Promise<WatchJobResponse>((resolve) => {
        let seen = 0;
        call.on('data', (message: WatchJobResponse) => {
          if (message.event?.event?.$case === 'preview') resolve(message);
          else if (++seen === 2)
            api.events.publishPreview({ jobId: id, step: 3, mediaType: 'image/jpeg', data: Buffer.from('frame') });
        });
      });
      const value = { step: 3, mediaType: 'image/jpeg', data: Buffer.from('frame') };
      expect((await preview).event).toEqual({ id: '0', event: { $case: 'preview', value } });
      const ended = endOf(call);
      call.cancel();
      await Promise.all([ended, stopped]);
    });

    it.each([
      ['a cancelled call', {}, 'CANCELLED'],
      ['the deadline of the call', { deadlineMs: 300 }, 'DEADLINE_EXCEEDED'],
    ])('leaves the job alone at the end of %s', async (_, options, expected) => {
      const { id } = await grpc.submit({ prompt: 'x' });
      const call = watch({ id, previews: true }, options);
      const stopped = new Promise<void>((resolve) => {
        api.events.onPreviewsWatched(id, (watched) => watched || resolve());
      });
      const all = readAll(call, () => expected === 'CANCELLED' && call.cancel());
      expect((await all).status).toBe(expected);
      await stopped;
      expect((await api.store.get(id))?.cancelRequestedAt).toBeNull();
      expect(await stateOf(id)).toBe('queued');
    });

    it('refuses what is no job, and no event', async () => {
      const { id } = await grpc.submit({ prompt: 'x' });
      expect(await readAll(watch({ id: 'x' }))).toMatchObject({ messages: [], status: 'NOT_FOUND' });
      const beyond = await readAll(watch({ id, afterEvent: '18446744073709551615' }));
      expect(beyond).toMatchObject({ status: 'INVALID_ARGUMENT', details: expect.stringContaining('after_event') });
    });
  });

  describe('Generate', () => {
    it('submits a job and follows it, naming it in every message', async () => {
      const all = readAll(generate());
      await eventually('the job is there', async () => ((await api.countJobs()) > 0 ? true : null));
      await runThrough();
      const { messages, status } = await all;
      expect(status).toBe('OK');
      expect(kindsOf(messages)).toEqual(['state', 'state', 'phase', 'progress', 'artifact', 'state', 'final']);
      const last = messages.at(-1)?.event?.event;
      const id = last?.$case === 'final' ? last.value.id : '';
      expect(messages.map(({ jobId }) => jobId)).toEqual(messages.map(() => id));
      expect((await api.get(`/v1/jobs/${id}`)).json).toMatchObject({ state: 'succeeded', request: { seed: 7 } });
    });

    it('refuses what cannot be run before anything is accepted', async () => {
      const { messages, status } = await readAll(generate({}, { request: { prompt: '' } }));
      expect([messages, status]).toEqual([[], 'INVALID_ARGUMENT']);
      expect(await readAll(generate({}, { request: undefined }))).toMatchObject({ status: 'INVALID_ARGUMENT' });
      expect(await api.countJobs()).toBe(0);
    });

    it.each([
      ['a cancelled call', {}, 'CANCELLED'],
      ['the deadline of the call', { deadlineMs: 1_000 }, 'DEADLINE_EXCEEDED'],
    ])('cancels the running job at the end of %s', async (_, options, expected) => {
      const call = generate(options);
      const told = readAll(call);
      const [{ jobId }] = (await once(call, 'data')) as [GenerateResponse];
      await api.claim();
      if (expected === 'CANCELLED') call.cancel();
      expect((await told).status).toBe(expected);
      expect(await cancelled(jobId)).toMatchObject({ state: 'running' });
    });

    it.each([
      ['an idempotency key', { idempotencyKey: 'k' }, {}],
      ['a key in the metadata', {}, { 'idempotency-key': 'k' }],
      ['the wish to go on', {}, { 'safelight-on-disconnect': 'continue' }],
    ])('leaves a job with %s running', async (_, more, metadata) => {
      const call = generate({ metadata }, more);
      const ended = endOf(call);
      const [{ jobId }] = (await once(call, 'data')) as [GenerateResponse];
      await api.claim();
      call.cancel();
      await ended;
      // Comes over the same connection after the end of the other call, and takes as long as a cancel would.
      await grpc.submit({ prompt: 'y' });
      expect((await api.store.get(jobId))?.cancelRequestedAt).toBeNull();
    });

    it('gives the job again to who repeats the call with its key', async () => {
      const first = generate({}, { idempotencyKey: 'k' });
      first.on('error', () => undefined);
      const [{ jobId }] = (await once(first, 'data')) as [GenerateResponse];
      first.cancel();
      const again = readAll(generate({}, { idempotencyKey: 'k' }));
      await runThrough();
      const { messages, status } = await again;
      expect(status).toBe('OK');
      expect(messages[0]).toMatchObject({ jobId, event: { id: '1' } });
    });

    it.each([
      ['device_out_of_memory', 'RESOURCE_EXHAUSTED'],
      ['worker_lost', 'UNAVAILABLE'],
      ['model_unavailable', 'FAILED_PRECONDITION'],
      ['invalid_request', 'INVALID_ARGUMENT'],
      ['internal', 'INTERNAL'],
    ] as const)('ends with the status of a failure of kind %s, after the final event', async (kind, expected) => {
      const call = generate();
      const all = readAll(call);
      await once(call, 'data');
      const why = failure(kind, 'it went wrong', kind === 'invalid_request' ? { field: 'init_image' } : {});
      const record = attemptRecord({ finishedAt: Date.now(), outcome: 'failed', failure: why });
      const next = { state: 'failed', failure: why } as const;
      const recorded = await api.store.endIfClaimed(await api.claim(), record, next, Date.now());
      api.events.publish(recorded.events);
      const { messages, status, details } = await all;
      expect(kindsOf(messages).at(-1)).toBe('final');
      expect([status, details]).toEqual([expected, expect.stringContaining('it went wrong')]);
    });

    it('ends as cancelled when somebody else cancels the job', async () => {
      const call = generate();
      const all = readAll(call);
      const [{ jobId }] = (await once(call, 'data')) as [GenerateResponse];
      await api.post(`/v1/jobs/${jobId}/cancel`, {});
      const { messages, status } = await all;
      expect([kindsOf(messages).at(-1), status]).toEqual(['final', 'CANCELLED']);
    });

    it('tells its client that the server goes, and leaves the job', async () => {
      const call = generate();
      const all = readAll(call);
      const [{ jobId }] = (await once(call, 'data')) as [GenerateResponse];
      await api.closeServer();
      expect(await all).toMatchObject({ status: 'UNAVAILABLE', details: expect.stringContaining('unharmed') });
      expect(await stateOf(jobId)).toBe('queued');
    });
  });
});
