import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { execa } from 'execa';

import { ServerProcess } from '../support/server-process.js';

interface Refusal {
  readonly code: string;
  readonly details: string;
  readonly trailers: Readonly<Record<string, string>>;
}

/** What the Python client saw; see its file. */
interface Seen {
  readonly services: readonly string[];
  readonly health: string;
  readonly models: readonly object[];
  readonly workers: readonly string[];
  readonly events: readonly string[];
  readonly preview_magic: readonly string[];
  readonly job: { readonly id: string };
  readonly after_cancel: { readonly step: number };
  readonly picture: { readonly sha256: string; readonly bytes: number };
  readonly refusals: Readonly<Record<string, Refusal>>;
}

const SUCCEEDED = 4;
const CANCELLED = 6;

describe('clients of gRPC', () => {
  let server: ServerProcess;
  let address: string;
  beforeAll(async () => {
    server = await ServerProcess.start({ embedded_model: true, models: [], workers: { preview_interval_ms: 50 } });
    const told = JSON.parse(readFileSync(join(server.dataDir, 'server.json'), 'utf8')) as { grpc: string };
    address = told.grpc;
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  it('are served from Python with nothing but reflection', async () => {
    const client = ['test/e2e/clients/grpc_reflection_client.py', address];
    const { stdout } = await execa('python-worker/.venv/bin/python', client, { timeout: 110_000 });
    const seen = JSON.parse(stdout) as Seen;
    expect(seen).toMatchObject({
      services: ['grpc.health.v1.Health', 'safelight.v1.CatalogService', 'safelight.v1.JobService'],
      health: 'SERVING',
      models: [{ id: 'shapes', family: 'sd15', default: true }],
      workers: [expect.stringMatching(/^(ready|busy)$/)],
      job: { state: SUCCEEDED, seed: '9223372036854775807', attempts: ['succeeded'], effective_steps: 100 },
      preview_magic: ['ffd8'],
      replayed: 'final',
      after_cancel: { state: CANCELLED },
      after_cancel_job: CANCELLED,
      deadline: { code: 'DEADLINE_EXCEEDED', state: CANCELLED },
    });
    expect(new Set(seen.events)).toEqual(new Set(['state', 'phase', 'progress', 'preview', 'artifact', 'final']));
    expect(seen.events.at(-1)).toBe('final');
    expect(seen.after_cancel.step).toBeLessThan(150);

    const overRest = await server.job(seen.job.id);
    const bytes = await server.picture(overRest);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(seen.picture).toEqual({
      sha256,
      bytes: bytes.length,
      told_sha256: sha256,
      told_bytes: bytes.length,
      media_type: 'image/png',
    });
    expect(bytes.subarray(1, 4).toString()).toBe('PNG');

    expect(seen.refusals).toMatchObject({
      'wrong size': { code: 'INVALID_ARGUMENT', details: expect.stringContaining('width must be a multiple of 8') },
      'no job': { code: 'NOT_FOUND', trailers: { 'safelight-code': 'job_not_found' } },
      'no artifact': { code: 'NOT_FOUND', trailers: { 'safelight-code': 'artifact_not_found' } },
      damaged: { code: 'INVALID_ARGUMENT', details: expect.stringContaining('init_image must be a PNG') },
    });
  });

  it.each([
    ['js', 'node_modules/.bin/node', ['--input-type=module', '--eval']],
    ['python', 'python-worker/.venv/bin/python', ['-c']],
  ])('are served as the documentation says in its example of %s', async (language, program, args) => {
    const page = readFileSync('docs/grpc.md', 'utf8');
    const [, example = ''] = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(page) ?? [];
    const code = example.replace('127.0.0.1:8721', address);
    expect(code).not.toBe(example);
    const env = { PYTHONPATH: 'proto' };
    const { stdout } = await execa(program, [...args, code], { env, encoding: 'buffer', timeout: 60_000 });
    expect(Buffer.from(stdout).subarray(1, 4).toString()).toBe('PNG');
  });

  it('are served from a command line with nothing but reflection', async () => {
    const call = async (method: string, data: object) => {
      const url = `http://${address}/safelight.v1.${method}`;
      const args = ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', '--data', JSON.stringify(data), url];
      return (await execa('node_modules/.bin/buf', args, { timeout: 60_000 })).stdout;
    };
    const { models } = JSON.parse(await call('CatalogService/ListModels', {})) as { models: { id: string }[] };
    expect(models.map(({ id }) => id)).toEqual(['shapes']);
    const request = { prompt: 'a blue square', num_inference_steps: 2 };
    const told = await call('JobService/Generate', { request });
    expect(told).toContain('JOB_STATE_SUCCEEDED');
    await expect(call('JobService/GetJob', { id: 'x' })).rejects.toMatchObject({
      stderr: expect.stringContaining('not_found'),
    });
  });
});
