import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startCli } from '../support/cli.js';
import { ServerProcess } from '../support/server-process.js';
import { eventually } from '../support/signals.js';

const PNG = Buffer.from('89504e470d0a1a0a', 'hex');

/** A port that is free now, and that the same server takes again: an address that was named stays the same. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

describe('safelight generate --server', () => {
  let cwd: string;
  let server: ServerProcess;
  beforeEach(async () => {
    cwd = mkdtempSync(join(tmpdir(), 'safelight-cli-'));
    server = await ServerProcess.start({ http: { port: await freePort() } });
  });
  afterEach(async () => {
    await server.stop();
    server.removeData();
    rmSync(cwd, { recursive: true, force: true });
  });

  it('ends with the picture when its server was killed, and is back only after a while', async () => {
    const child = startCli(
      ['generate', 'a cat', '--seed', '6', '--size', '128x128', '--steps', '80', '--server', server.url],
      { cwd },
    );
    let told = '';
    child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
    const says = (words: string) => eventually(words, () => Promise.resolve(told.includes(words) || null));
    await says('denoising');
    await server.killHard();
    await says(`no answer from ${server.url}, trying again, for up to 5 min 00 s`);
    server = await server.restart();
    const { exitCode, stdout, stderr } = await child;
    expect([exitCode, stderr]).toEqual([0, expect.any(String)]);
    expect(stdout).toMatch(/^attempts +2 /m);
    expect(readFileSync(join(cwd, 'a-cat-6.png')).subarray(0, 8)).toEqual(PNG);
    const { data } = await server.get<{ data: { state: string }[] }>('/v1/jobs');
    expect(data.map(({ state }) => state)).toEqual(['succeeded']);
  });

  it('is told by Ctrl-C to cancel the job, which ends at its next step', async () => {
    const child = startCli(['generate', 'a cat', '--size', '128x128', '--steps', '150', '--server', server.url], {
      cwd,
    });
    let told = '';
    child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
    await eventually('it denoises', () => Promise.resolve(told.includes('denoising') || null));
    child.kill('SIGINT');
    const { exitCode, stderr } = await child;
    expect(exitCode).toBe(130);
    expect(stderr).toMatch(/Interrupted: the job [\w-]+ is cancelled\./);
    const { data } = await server.get<{ data: { state: string }[] }>('/v1/jobs');
    expect(data.map(({ state }) => state)).toEqual(['cancelled']);
  });
});
