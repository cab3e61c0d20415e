import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { execa } from 'execa';

import { readPng } from '../support/png.js';
import { eventually, killGroup } from '../support/signals.js';

/** The blocks of the README in a language, in their order. */
const blocksIn = (language: string) =>
  [...readFileSync('README.md', 'utf8').matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, block]) => block!.trim(),
  );
const BLOCKS = blocksIn('sh');
const block = (beginning: string): string => {
  const found = BLOCKS.find((each) => each.startsWith(beginning));
  if (found === undefined) throw new Error(`the README has no block that begins with ${beginning}`);
  return found;
};

/** Middle of the pixels that are nearly of a colour, as a share of width and height. */
function middleOf(png: Buffer, colour: readonly [number, number, number]): { x: number; y: number; share: number } {
  const { width, height, pixels } = readPng(png);
  let [count, x, y] = [0, 0, 0];
  for (let at = 0; at < width * height; at += 1) {
    const distance = Math.hypot(...colour.map((value, channel) => pixels[at * 3 + channel]! - value));
    if (distance > 60) continue;
    count += 1;
    x += at % width;
    y += Math.floor(at / width);
  }
  return { x: x / count / width, y: y / count / height, share: count / (width * height) };
}

const RED = [218, 48, 48] as const;
const BLUE = [46, 98, 217] as const;
const WHITE = [246, 246, 246] as const;

describe('the README', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'safelight-readme-'));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  const environment = (more: Record<string, string> = {}) => ({
    SAFELIGHT_DATA_DIR: dataDir,
    SAFELIGHT_HTTP_PORT: '0',
    ...more,
  });

  it('makes the picture its first command promises', async () => {
    const out = join(dataDir, 'picture.png');
    const { stdout } = await execa(`${block('npm run generate')} --seed 7 --out ${out}`, {
      shell: true,
      env: environment(),
    });
    expect(stdout.trim().split('\n').at(-1)).toBe(out);
    const png = readFileSync(out);
    const [circle, star, ground] = [middleOf(png, RED), middleOf(png, BLUE), middleOf(png, WHITE)];
    expect(circle.share).toBeGreaterThan(0.01);
    expect(star.share).toBeGreaterThan(0.01);
    expect(ground.share).toBeGreaterThan(0.4);
    expect(circle.x).toBeLessThan(star.x);
  });

  it('serves what its other commands ask for', async () => {
    const server = execa(block('npm start'), { shell: true, env: environment(), reject: false, detached: true });
    try {
      const { url, pid } = await eventually('the server listens', () => announced(dataDir));
      const here = (command: string) => command.replaceAll('http://127.0.0.1:8720', url);
      const submitted = await execa(here(block('curl -s')), { shell: true });
      const job = JSON.parse(submitted.stdout) as { id: string; state: string; artifacts: { url: string }[] };
      expect(job).toMatchObject({ state: 'succeeded', artifacts: [{ seed: 7 }] });
      const events = await execa(here(block('curl -N')).replace('JOB_ID', job.id), { shell: true });
      expect(events.stdout).toMatch(/event: final\n/);
      process.kill(pid, 'SIGTERM');
      await server;
    } finally {
      // With the shell and npm in it, when something above went wrong.
      killGroup(server.pid!);
    }
  });

  it('is spoken to by every client it shows', async () => {
    const env = environment();
    const server = execa(block('npm start'), { shell: true, env, reject: false, detached: true });
    try {
      const { url, grpc, pid } = await eventually('the server listens', () => announced(dataDir));
      const here = (text: string) =>
        text
          .replaceAll('http://127.0.0.1:8720', url)
          .replaceAll('port=8720', `port=${new URL(url).port}`)
          .replaceAll('127.0.0.1:8721', grpc);
      const python = async (code: string) => {
        const file = join(dataDir, 'example.py');
        writeFileSync(file, here(code));
        const options = { cwd: dataDir, env: { PYTHONPATH: resolve('proto') } };
        return (await execa(resolve('python-worker/.venv/bin/python'), [file], options)).stdout;
      };
      const [openai, webui, grpcio] = blocksIn('python');
      const link = (await python(openai!)).trim();
      expect(middleOf(Buffer.from(await (await fetch(link)).arrayBuffer()), RED).share).toBeGreaterThan(0.01);

      await python(webui!);
      expect(middleOf(readFileSync(join(dataDir, 'circle.png')), RED).share).toBeGreaterThan(0.01);

      const inference = await execa(here(block('curl -s http://127.0.0.1:8720/api/diffusers')), { shell: true });
      const { response } = JSON.parse(inference.stdout) as { response: string[] };
      expect((await fetch(response[0]!)).headers.get('content-type')).toBe('image/png');

      // What grpcurl is told, told to the client that comes with our tools: it reads the same reflection.
      const call = /^grpcurl -plaintext (-d .*) (\S+) (\S+)$/.exec(here(block('grpcurl')));
      const [, data, address, method] = call!;
      const buf = `node_modules/.bin/buf curl --protocol grpc --http2-prior-knowledge ${data} http://${address}/${method}`;
      expect((await execa(buf, { shell: true })).stdout).toContain('JOB_STATE_SUCCEEDED');

      const node = await execa('node_modules/.bin/node', ['--input-type=module', '--eval', here(blocksIn('js')[0]!)]);
      expect(node.stdout.trim().split('\n').at(-1)).toBe('final');
      expect((await python(grpcio!)).trim().split('\n').at(-1)).toBe('final');
      process.kill(pid, 'SIGTERM');
      await server;
    } finally {
      killGroup(server.pid!);
    }
  });

  it('names no file that is not there', () => {
    const links = [...readFileSync('README.md', 'utf8').matchAll(/(?:\]\(|src=")(?!https?:|#)([^)"#]+)/g)].map(
      ([, link]) => link!,
    );
    expect(links.length).toBeGreaterThan(5);
    for (const link of links) expect(() => readFileSync(link)).not.toThrow();
  });
});

interface Announced {
  readonly url: string;
  readonly grpc: string;
  readonly pid: number;
}

function announced(dataDir: string): Promise<Announced | null> {
  try {
    return Promise.resolve(JSON.parse(readFileSync(join(dataDir, 'server.json'), 'utf8')) as Announced);
  } catch {
    return Promise.resolve(null);
  }
}
