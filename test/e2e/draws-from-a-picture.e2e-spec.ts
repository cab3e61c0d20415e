import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { uuidv7 } from 'uuidv7';

import { pngHeader, pngOf } from '../support/pictures.js';
import { readPng } from '../support/png.js';
import type { JobJson } from '../support/server-process.js';
import { ServerProcess } from '../support/server-process.js';

const base64 = (bytes: Buffer) => bytes.toString('base64');
const SUNSET = base64(pngOf(64, 64, (x, y) => [4 * y, 2 * x, 128]));
const MEADOW = base64(pngOf(80, 48, (x, y) => [x, 255 - 3 * y, 40]));
const BLACK = base64(pngOf(64, 64, () => [0, 0, 0]));
const WHITE = base64(pngOf(64, 64, () => [255, 255, 255]));

/** Exact, so that what is equal is equal to the last bit. */
const REQUEST = { prompt: 'a red circle', num_inference_steps: 6, seed: 3, exact: true };

interface ImageRef {
  readonly sha256: string;
  readonly bytes: number;
}

describe('a job that starts from a picture', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start();
    await server.workerPid();
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  const done = async (changes: Record<string, unknown>) =>
    server.finished((await server.submit({ ...REQUEST, ...changes })).id);
  async function pixels(job: JobJson): Promise<Buffer> {
    if (job.state !== 'succeeded') throw new Error(JSON.stringify(job.failure));
    return readPng(await server.picture(job)).pixels;
  }
  const drawn = async (changes: Record<string, unknown>) => pixels(await done(changes));
  const artifactsDir = () => join(server.dataDir, 'artifacts');

  it('draws another picture from another one, and the same from the same', async () => {
    const from = { init_image: SUNSET, strength: 0.5 };
    const job = await done(from);
    const sunset = await pixels(job);
    expect(job.artifacts).toMatchObject([{ width: 64, height: 64 }]);
    expect(job.request).toMatchObject({
      init_image: { width: 64, height: 64, media_type: 'image/png' },
      strength: 0.5,
    });
    expect(JSON.stringify(job)).not.toContain(SUNSET.slice(0, 40));
    expect(await drawn(from)).toEqual(sunset);
    expect(await drawn({ ...from, init_image: MEADOW })).not.toEqual(sunset);
    expect(await drawn({ ...from, strength: 0.9 })).not.toEqual(sunset);
    expect(await drawn({})).not.toEqual(sunset);
  });

  it('paints anew where its mask is white, and nowhere else', async () => {
    const kept = { init_image: SUNSET, mask_image: BLACK, strength: 1 };
    const painted = { ...kept, mask_image: WHITE };
    const other = { prompt: 'a blue square', guidance_scale: 9 };
    expect(await drawn({ ...kept, ...other })).toEqual(await drawn(kept));
    expect(await drawn({ ...painted, ...other })).not.toEqual(await drawn(painted));
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['a mask that lies over nothing', { mask_image: WHITE }, 'mask_image'],
    ['a ControlNet the model has not', { controls: [{ id: 'canny', image: SUNSET }] }, 'controls[0].id'],
    ['a LoRA the model has not', { loras: [{ id: 'ink' }] }, 'loras[0].id'],
    ['an address', { init_image: 'http://127.0.0.1/cat.png' }, 'init_image'],
    ['a video of a model that makes pictures', { init_image: SUNSET, output_format: 'mp4' }, 'output_format'],
  ])('is refused for %s, and leaves nothing behind', async (_, changes, field) => {
    const before = readdirSync(artifactsDir()).length;
    const response = await server.post('/v1/jobs', { ...REQUEST, ...changes });
    expect(response.status).toBe(422);
    expect(((await response.json()) as { errors: unknown[] }).errors).toEqual([expect.objectContaining({ field })]);
    expect(readdirSync(artifactsDir())).toHaveLength(before);
  });

  it('fails once, for its picture, when that is damaged behind its header', async () => {
    const damaged = base64(Buffer.concat([pngHeader(64, 64), Buffer.from('and no more of it')]));
    const job = await done({ init_image: damaged });
    expect(job).toMatchObject({ state: 'failed', failure: { kind: 'invalid_request', field: 'init_image' } });
    expect(job.attempts).toHaveLength(1);
    expect((await done({ init_image: SUNSET })).state).toBe('succeeded');
  });

  it('finishes after the server was killed, from the picture it was given', async () => {
    const calm = await drawn({ init_image: MEADOW });
    const { id, request } = await server.submit({ ...REQUEST, init_image: MEADOW });
    await server.killHard();
    const { sha256 } = request['init_image'] as ImageRef;
    expect(readFileSync(join(artifactsDir(), id, 'inputs', `${sha256}.png`)).toString('base64')).toBe(MEADOW);

    // As if it had died a moment earlier: once before the row of a job was written, once right after.
    const orphan = uuidv7();
    mkdirSync(join(artifactsDir(), orphan, 'inputs'), { recursive: true });
    writeFileSync(join(artifactsDir(), orphan, 'inputs', 'left.png'), '');
    const [node = ''] = readdirSync(join(artifactsDir(), '.unsettled'));
    const unsettled = join(artifactsDir(), '.unsettled', node);
    for (const jobId of [orphan, id]) writeFileSync(join(unsettled, jobId), '');

    server = await server.restart();
    expect(await pixels(await server.finished(id))).toEqual(calm);
    expect(existsSync(join(artifactsDir(), orphan))).toBe(false);
    expect(existsSync(join(artifactsDir(), id, 'inputs'))).toBe(true);
    expect(readdirSync(unsettled)).toEqual([]);
  });
});
