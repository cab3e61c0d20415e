import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { execa } from 'execa';

import { runCli } from '../support/cli.js';
import { tinyModelDir } from '../support/tiny-model.js';

const PYTHON = resolve('python-worker/.venv/bin/python');
const HELPERS = { cwd: 'python-worker', env: { HF_HUB_OFFLINE: '1' } };

let cwd: string;
let tiny: string;

beforeEach(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'safelight-models-'));
  tiny = await tinyModelDir();
});

afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

function settings(models: readonly object[]): void {
  const all = { data_dir: 'data', http: { port: 0 }, embedded_model: false, models };
  writeFileSync(join(cwd, 'safelight.yaml'), JSON.stringify(all));
}

const env = (more: Record<string, string> = {}) => ({
  HF_HUB_CACHE: join(cwd, 'hub'),
  // What keeps the other tests from the network; here a hub of ours is reached.
  HF_HUB_OFFLINE: '',
  ...more,
});

/** A hub that serves a folder as owner/name, for as long as `use` takes. */
async function withHub<T>(folder: string, use: (url: string) => Promise<T>): Promise<T> {
  const hub = execa(PYTHON, ['-m', 'tests.support.hub', folder], { ...HELPERS, stdin: 'pipe', reject: false });
  try {
    const [line] = (await once(hub.stdout, 'data')) as [Buffer];
    return await use(line.toString().trim());
  } finally {
    hub.stdin.end();
    await hub;
  }
}

describe('safelight models', () => {
  it('lists what the settings name, and says how to get what is not there', async () => {
    settings([
      { id: 'tiny', source: tiny, dtype: 'float16' },
      { id: 'far', source: 'owner/name' },
    ]);
    const { code, stdout } = await runCli(['models'], { cwd, env: env() });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^tiny +sd15 +folder +StableDiffusionPipeline +float16 +[\d.]+ MiB +present$/m);
    expect(stdout).toMatch(/^far .* missing$/m);
    expect(stdout).toContain('npm run safelight -- models pull owner/name');
  });

  it('checks the headers of all weights, and fails when one is cut short', async () => {
    const cut = join(cwd, 'cut');
    cpSync(tiny, cut, { recursive: true });
    writeFileSync(join(cut, 'unet', 'diffusion_pytorch_model.safetensors'), 'too short');
    settings([
      { id: 'tiny', source: tiny },
      { id: 'cut', source: './cut' },
    ]);
    const sound = await runCli(['models', 'check', 'tiny'], { cwd, env: env() });
    expect([sound.code, sound.stderr]).toEqual([0, '']);
    expect(sound.stdout).toMatch(/^ {6}unet +UNet2DConditionModel +[\d.]+ MiB float32 in 1 file$/m);
    const both = await runCli(['models', 'check', '--json'], { cwd, env: env() });
    expect(both.code).toBe(1);
    const found = both.stdout.split('\n').map((line) => JSON.parse(line) as { id: string; problems: string[] });
    expect(found.map(({ id, problems }) => [id, problems.length])).toEqual([
      ['tiny', 0],
      ['cut', 1],
    ]);
  });

  it('is what the doctor goes by, for folders, single files and repositories alike', async () => {
    const weights = join('unet', 'diffusion_pytorch_model.safetensors');
    const cut = join(cwd, 'cut');
    cpSync(tiny, cut, { recursive: true });
    writeFileSync(join(cut, weights), 'too short');
    cpSync(join(tiny, weights), join(cwd, 'one.safetensors'));
    settings([
      { id: 'tiny', source: tiny },
      { id: 'one', source: './one.safetensors', config: tiny },
      { id: 'cut', source: './cut' },
      { id: 'far', source: 'owner/name' },
    ]);
    const { stdout } = await runCli(['doctor', '--json'], { cwd, env: env() });
    const { findings } = JSON.parse(stdout) as { findings: { area: string }[] };
    expect(findings.filter(({ area }) => area.startsWith('model '))).toEqual([
      {
        area: 'model tiny',
        status: 'ok',
        message: expect.stringMatching(/^StableDiffusionPipeline, .* MiB/),
        mend: null,
      },
      { area: 'model one', status: 'ok', message: expect.stringContaining('one.safetensors'), mend: null },
      { area: 'model cut', status: 'fail', message: expect.stringContaining('unet'), mend: expect.anything() },
      {
        area: 'model far',
        status: 'fail',
        message: expect.stringContaining('not in the local cache'),
        mend: expect.stringContaining('models pull owner/name'),
      },
    ]);
  });

  it('pulls a model, which can be served from then on', async () => {
    settings([{ id: 'far', source: 'owner/name' }]);
    const before = await runCli(['serve'], { cwd, env: env() });
    expect(before.code).toBe(78);
    expect(before.stderr).toContain('npm run safelight -- models pull owner/name');
    const pulled = await withHub(tiny, (url) =>
      runCli(['models', 'pull', 'owner/name'], { cwd, env: env({ HF_ENDPOINT: url }) }),
    );
    expect(pulled.code).toBe(0);
    expect(pulled.stderr).toMatch(/^fetching owner\/name: 100 %, /m);
    expect(existsSync(join(pulled.stdout, 'model_index.json'))).toBe(true);
    const after = await runCli(['models', 'list', '--json'], { cwd, env: env() });
    expect(JSON.parse(after.stdout)).toMatchObject({ id: 'far', kind: 'hub', present: true, problems: [] });
    const picture = await runCli(['generate', 'a cat', '--size', '64x64', '--steps', '2', '--out', 'cat.png'], {
      cwd,
      env: env(),
    });
    expect([picture.code, existsSync(join(cwd, 'cat.png'))]).toEqual([0, true]);
  });

  it('says in two lines that no hub can be reached, and what to do', async () => {
    settings([{ id: 'tiny', source: tiny }]);
    const nobody = createServer().listen(0, '127.0.0.1');
    await once(nobody, 'listening');
    const url = `http://127.0.0.1:${(nobody.address() as AddressInfo).port}`;
    nobody.close();
    await once(nobody, 'close');
    const result = await runCli(['models', 'pull', 'owner/name'], { cwd, env: env({ HF_ENDPOINT: url }) });
    expect([result.code, result.stdout]).toEqual([1, '']);
    expect(result.stderr.split('\n')).toEqual([
      expect.stringContaining(`the hub at ${url} could not be reached`),
      expect.stringMatching(/^Next: check the connection/),
    ]);
  });

  it.each<[string[], object, number, string]>([
    [['models', 'check', 'nope'], {}, 2, 'The settings have no model nope.'],
    [['models', 'pull'], {}, 2, 'missing required argument'],
    [['models'], { workers: { python: '/no/such/python' } }, 1, '/no/such/python cannot look after models'],
  ])('ends %j with a reason', async (args, more, code, told) => {
    writeFileSync(join(cwd, 'safelight.yaml'), JSON.stringify({ data_dir: 'data', ...more }));
    const result = await runCli(args, { cwd, env: env() });
    expect([result.code, result.stdout]).toEqual([code, '']);
    expect(result.stderr).toContain(told);
  });
});
