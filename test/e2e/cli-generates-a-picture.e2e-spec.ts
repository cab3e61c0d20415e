import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { folderWithSettings, runCli, startCli } from '../support/cli.js';
import { ServerProcess } from '../support/server-process.js';
import { eventually } from '../support/signals.js';

const PNG = Buffer.from('89504e470d0a1a0a', 'hex');
const FAST = ['--size', '64x64', '--steps', '4'];
const LONG = ['--size', '128x128', '--steps', '150'];

let cwd: string;

beforeEach(async () => {
  cwd = await folderWithSettings();
});

afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? '';
const announced = () => {
  try {
    return JSON.parse(readFileSync(join(cwd, 'data', 'server.json'), 'utf8')) as { url: string; pid: number };
  } catch {
    return null;
  }
};

describe('safelight generate without a server', () => {
  it('starts one for as long as it takes, and prints seed, timings and last the path of the picture', async () => {
    const { code, stdout, stderr } = await runCli(['generate', 'A red circle', '--seed', '7', ...FAST], { cwd });
    expect([code, stderr]).toEqual([0, expect.stringContaining('starting a server in this process')]);
    expect(lastLine(stdout)).toBe(join(cwd, 'a-red-circle-7.png'));
    expect(readFileSync(lastLine(stdout)).subarray(0, 8)).toEqual(PNG);
    expect(stdout).toMatch(/^seed +7\nqueued +[\d.]+ s\n/);
    expect(stdout).toMatch(/^denoise +[\d.]+ s$/m);
    expect(announced()).toBeNull();
  });

  it('cancels the job and ends with 130 when it is interrupted', async () => {
    const child = startCli(['generate', 'A red circle', ...LONG], { cwd });
    let told = '';
    child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
    await eventually('it denoises', () => Promise.resolve(told.includes('denoising') ? true : null));
    child.kill('SIGINT');
    const { exitCode, stderr, stdout } = await child;
    expect([exitCode, stdout]).toEqual([130, '']);
    expect(stderr).toMatch(/Interrupted: the job \S+ is cancelled\./);
    expect(announced()).toBeNull();
  });

  it('does well twice at the same time: one command starts the server, the other uses it', async () => {
    const both = await Promise.all(
      ['1', '2'].map((seed) => runCli(['generate', 'a cat', '--seed', seed, ...FAST], { cwd })),
    );
    expect(both.map(({ code, stdout }) => [code, lastLine(stdout)])).toEqual([
      [0, join(cwd, 'a-cat-1.png')],
      [0, join(cwd, 'a-cat-2.png')],
    ]);
  });

  it('says which file, line and value is wrong when the settings cannot work', async () => {
    writeFileSync(join(cwd, 'safelight.yaml'), 'http:\n  prot: 80\nqueue:\n  max_waiting: -1\n');
    const { code, stderr } = await runCli(['generate', 'x'], { cwd });
    expect(code).toBe(78);
    expect(stderr).toContain('safelight.yaml:2:3: there is no setting http.prot; did you mean port?');
    expect(stderr).toContain('safelight.yaml:4:16: queue.max_waiting is -1');
  });
});

describe('safelight generate with a running server', () => {
  let server: ServerProcess;

  beforeEach(async () => {
    server = await ServerProcess.start();
  });

  afterEach(async () => {
    await server.stop();
    server.removeData();
  });

  it('uses the server of the data folder, as the other commands do', async () => {
    const env = { SAFELIGHT_DATA_DIR: server.dataDir };
    const { code, stdout, stderr } = await runCli(
      ['generate', 'a cat', '--images', '2', '--json', '--out', 'cat.png', ...FAST],
      { cwd, env },
    );
    expect(code).toBe(0);
    expect(stderr).not.toContain('starting a server');
    const job = JSON.parse(stdout) as { id: string; state: string };
    expect(job).toMatchObject({ state: 'succeeded', request: { prompt: 'a cat', num_images: 2 } });
    for (const name of ['cat-0.png', 'cat-1.png']) expect(readFileSync(join(cwd, name)).subarray(0, 8)).toEqual(PNG);

    const list = await runCli(['jobs', '--state', 'succeeded'], { cwd, env });
    expect(lastLine(list.stdout)).toMatch(new RegExp(`^${job.id} .* succeeded .* tiny .* a cat$`));
    const show = await runCli(['jobs', 'show', job.id], { cwd, env });
    expect(show.stdout).toMatch(/^attempt 1 +succeeded in/m);
    const cancel = await runCli(['jobs', 'cancel', job.id], { cwd, env });
    expect(cancel.stdout).toBe(`The job ${job.id} was succeeded already; nothing was changed.`);
    const doctor = await runCli(['doctor', '--json'], { cwd, env });
    const { findings } = JSON.parse(doctor.stdout) as { findings: { area: string; status: string; message: string }[] };
    const found = findings.find(({ area }) => area === 'server');
    expect(found).toMatchObject({ status: 'ok', message: expect.stringContaining(`runs at ${server.url}`) as unknown });
  });

  it('ends with 2 and names field, value and limit when the server refuses the request', async () => {
    const { code, stdout, stderr } = await runCli(
      ['generate', 'a cat', '--server', server.url, '--size', '65x64', '--steps', '9999'],
      { cwd },
    );
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('width is 65: must be a multiple of 8');
    expect(stderr).toContain('num_inference_steps is 9999: must be from 1 to 150');
  });

  it('still ends with the picture when the server is killed in the middle', async () => {
    const env = { SAFELIGHT_DATA_DIR: server.dataDir };
    const child = startCli(['generate', 'a cat', '--seed', '3', ...LONG], { cwd, env });
    let told = '';
    child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
    await eventually('it denoises', () => Promise.resolve(told.includes('denoising') ? true : null));
    await server.killHard();
    const { exitCode, stdout, stderr } = await child;
    expect([exitCode, lastLine(stdout)]).toEqual([0, join(cwd, 'a-cat-3.png')]);
    expect(stderr).toContain('starting a server in this process');
    expect(stdout).toMatch(/^attempts +2 \(before: worker_lost\)$/m);
  });
});
