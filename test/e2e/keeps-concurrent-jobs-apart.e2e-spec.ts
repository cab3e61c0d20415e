import { readPng } from '../support/png.js';
import type { JobJson } from '../support/server-process.js';
import { ServerProcess } from '../support/server-process.js';

/**
 * How far a picture made in a crowd may be from the one made alone: in a forward with other rows the libraries choose other
 * kernels, which differ by about 1e-6 in latents. That moves a value over a rounding edge now and then, never by more than one.
 */
const LARGEST_DIFFERENCE = 1;
const LARGEST_SHARE = 0.01;

const SCHEDULERS = [
  'DPMSolverMultistepScheduler',
  'EulerDiscreteScheduler',
  'EulerAncestralDiscreteScheduler',
  'DDIMScheduler',
  'UniPCMultistepScheduler',
];

/** Fifty requests of which no two are alike. */
const REQUESTS = Array.from({ length: 50 }, (_, index) => ({
  prompt: `a red circle number ${index}`,
  seed: 1000 + index,
  num_inference_steps: 3 + (index % 6),
  guidance_scale: [1, 3, 5, 7.5][index % 4],
  scheduler: SCHEDULERS[index % SCHEDULERS.length],
  ...(index % 7 === 0 ? { width: 96, height: 64 } : {}),
}));

describe('concurrent jobs', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start();
    await server.workerPid();
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  const pixelsOf = async (job: JobJson) => readPng(await server.picture(job)).pixels;

  it('give fifty pictures, each equal to the one made alone', async () => {
    const submitted = await Promise.all(REQUESTS.map((request) => server.submit(request)));
    const crowd = await Promise.all(submitted.map(({ id }) => server.finished(id)));
    expect(crowd.map(({ state }) => state)).toEqual(REQUESTS.map(() => 'succeeded'));
    const batches = crowd.map((job) => Number(job.effective!['max_batch_images']));
    expect(Math.max(...batches)).toBeGreaterThan(1);
    for (const [index, request] of REQUESTS.entries()) {
      const alone = await server.finished((await server.submit({ ...request, exact: true })).id);
      expect(alone.effective!['max_batch_images']).toBe(1);
      const [one, other] = [await pixelsOf(alone), await pixelsOf(crowd[index]!)];
      const differences = one.map((value, at) => Math.abs(value - other[at]!)).filter((difference) => difference > 0);
      expect(Math.max(0, ...differences)).toBeLessThanOrEqual(LARGEST_DIFFERENCE);
      expect(differences.length / one.length).toBeLessThanOrEqual(LARGEST_SHARE);
    }
  });

  it('that are exact give the same bits alone and in a crowd', async () => {
    const exact = { prompt: 'a blue square', seed: 3, num_inference_steps: 6, exact: true };
    const alone = await server.finished((await server.submit(exact)).id);
    const ids = await Promise.all([
      server.submit(exact),
      ...REQUESTS.slice(0, 12).map((request) => server.submit(request)),
    ]);
    const crowd = await Promise.all(ids.map(({ id }) => server.finished(id)));
    expect(await pixelsOf(crowd[0]!)).toEqual(await pixelsOf(alone));
  });

  it('of one request give one picture per seed, the same as asked for one by one', async () => {
    const request = { prompt: 'a red square', seed: 40, num_inference_steps: 4, exact: true };
    const three = await server.finished((await server.submit({ ...request, num_images: 3 })).id);
    expect(three.artifacts.map(({ seed }) => seed)).toEqual([40, 41, 42]);
    const second = await server.finished((await server.submit({ ...request, seed: 41 })).id);
    expect(readPng(await server.picture(three, 1)).pixels).toEqual(await pixelsOf(second));
  });

  it('are told apart in the files themselves', async () => {
    const job = await server.finished(
      (await server.submit({ prompt: 'a rote Straße', seed: 5, num_inference_steps: 2 })).id,
    );
    const { text, width, height } = readPng(await server.picture(job));
    expect(text).toMatchObject({ prompt: 'a rote Straße', job: job.id });
    expect([width, height]).toEqual([64, 64]);
    expect(JSON.parse(text['safelight']!)).toMatchObject({ seed: 5, num_inference_steps: 2 });
  });

  it('that are cancelled stop, and leave the others alone', async () => {
    const long = { prompt: 'a red circle', num_inference_steps: 150, width: 128, height: 128 };
    const [cancelled, other] = await Promise.all([
      server.submit({ ...long, seed: 1 }),
      server.submit({ ...long, seed: 2 }),
    ]);
    await server.denoising(cancelled.id);
    expect((await server.post(`/v1/jobs/${cancelled.id}/cancel`)).status).toBe(202);
    expect((await server.finished(cancelled.id)).state).toBe('cancelled');
    expect((await server.job(other.id)).state).toBe('running');
    await server.post(`/v1/jobs/${other.id}/cancel`);
    await server.finished(other.id);
    expect((await server.post(`/v1/jobs/${cancelled.id}/cancel`)).status).toBe(200);
  });
});
