import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { folderWithSettings, startCli } from '../support/cli.js';
import { ServerProcess } from '../support/server-process.js';
import { eventually } from '../support/signals.js';

const PNG = Buffer.from('89504e470d0a1a0a', 'hex');
const LONG = ['--size', '128x128', '--steps', '80'];

let cwd: string;

beforeEach(async () => {
  cwd = await folderWithSettings();
});

afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

/** `safelight generate`, once it denoises. */
async function denoising(seed: string, env: Readonly<Record<string, string>> = {}) {
  const child = startCli(['generate', 'a cat', '--seed', seed, ...LONG], { cwd, env });
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
  await eventually('it denoises', () => Promise.resolve(told.includes('denoising') || null));
  return { child };
}

describe('safelight generate', () => {
  it('ends with the picture when the worker of its own server is killed in the middle', async () => {
    const { child } = await denoising('5');
    const { url } = JSON.parse(readFileSync(join(cwd, 'data', 'server.json'), 'utf8')) as { url: string };
    const { data } = (await (await fetch(`${url}/v1/workers`)).json()) as { data: { pid: number }[] };
    process.kill(data[0]!.pid, 'SIGKILL');
    const { exitCode, stdout, stderr } = await child;
    expect([exitCode, stderr]).toEqual([0, expect.any(String)]);
    expect(stdout).toMatch(/^attempts +2 \(before: worker_lost\)$/m);
    expect(readFileSync(join(cwd, 'a-cat-5.png')).subarray(0, 8)).toEqual(PNG);
  });

  it('goes on with the job on the server that comes back in the place of the one that was killed', async () => {
    const server = await ServerProcess.start();
    const { child } = await denoising('6', { SAFELIGHT_DATA_DIR: server.dataDir });
    await server.killHard();
    const next = await server.restart();
    try {
      const { exitCode, stdout, stderr } = await child;
      expect([exitCode, stderr]).toEqual([0, expect.not.stringContaining('starting a server')]);
      expect(readFileSync(join(cwd, 'a-cat-6.png')).subarray(0, 8)).toEqual(PNG);
      expect(stdout).toMatch(/^attempts +2 /m);
      const { data } = await next.get<{ data: { id: string; state: string }[] }>('/v1/jobs');
      expect(data.map(({ state }) => state)).toEqual(['succeeded']);
    } finally {
      await next.stop();
      next.removeData();
    }
  });
});
