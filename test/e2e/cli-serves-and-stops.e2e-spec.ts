import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runCli, startCli } from '../support/cli.js';
import { eventually } from '../support/signals.js';
import { tinyModelDir } from '../support/tiny-model.js';

let cwd: string;

beforeEach(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'safelight-cli-'));
  const models = [{ id: 'tiny', source: await tinyModelDir() }];
  writeFileSync(
    join(cwd, 'safelight.yaml'),
    JSON.stringify({ devices: { ids: ['cpu:0'] }, embedded_model: false, models }),
  );
});

afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

describe('safelight serve', () => {
  it('says where it listens, and stops on a signal', async () => {
    const child = startCli(['serve', '--port', '0', '--data-dir', 'data'], { cwd });
    let told = '';
    child.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
    const url = await eventually('it listens', () => Promise.resolve(/listens at (http:\S+) /.exec(told)?.[1] ?? null));
    const live = await fetch(`${url}/health/live`);
    expect(live.status).toBe(200);

    const second = await runCli(['serve', '--port', '0', '--data-dir', 'data'], { cwd });
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('is locked');

    child.kill('SIGTERM');
    const { exitCode, stdout, stderr } = await child;
    expect([exitCode, stdout.split('\n').at(-1)]).toEqual([0, 'Stopped.']);
    // Logs are JSON lines on stderr, and nothing else is.
    for (const line of stderr.split('\n')) expect(() => JSON.parse(line) as unknown).not.toThrow();
  });

  it('says who has the port', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await runCli(['serve', '--port', String(port), '--data-dir', 'data'], { cwd });
    other.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`Another program listens on 127.0.0.1:${port}.`);
  });

  it.each([
    [['serve', '--port', 'http'], 78, '--port: http.port is "http"'],
    [['serve', '--prot', '1'], 2, "unknown option '--prot'"],
    [['srve'], 2, "unknown command 'srve'"],
    [['jobs', '--server', 'http://127.0.0.1:1'], 1, 'No answer from http://127.0.0.1:1'],
    [['jobs'], 1, 'No server runs on the data folder'],
  ])('ends %j with %d', async (args, code, message) => {
    const result = await runCli(args, { cwd, env: { SAFELIGHT_DATA_DIR: join(cwd, 'data') } });
    expect(result.stderr).toContain(message);
    expect([result.code, result.stdout]).toEqual([code, '']);
  });
});

it('safelight docs --check finds the reference pages up to date', async () => {
  expect(await runCli(['docs', '--check'], { cwd })).toMatchObject({ code: 0, stderr: '' });
});
