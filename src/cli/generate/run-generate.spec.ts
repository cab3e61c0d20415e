import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import type { Handler } from '../../../test/support/cli.js';
import { answerJson, attempt, ID, job, picture, PICTURE_BYTES, StubApi } from '../../../test/support/cli.js';
import { runProgram } from '../program.js';
import type { Terminal } from '../terminal.js';

let cwd: string;
let api: StubApi;
let final: ReturnType<typeof job>;
let submit: Handler;
let events: Handler;
let out: string[];
let err: string[];

const stream = (...lines: [string, unknown][]) =>
  lines.map(([name, data], index) => `id: ${index + 1}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`).join('');

beforeEach(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'safelight-generate-'));
  out = [];
  err = [];
  final = job();
  submit = (_, response) => answerJson(response, 202, job({ state: 'queued' }));
  events = (_, response) => {
    response
      .writeHead(200, { 'content-type': 'text/event-stream' })
      .end(
        stream(
          ['state', { state: 'running', attempt: 1 }],
          ['progress', { phase: 'denoise', step: 4, steps: 4, fraction: 0.9, eta_ms: 10 }],
          ['final', { job: final }],
        ),
      );
  };
  const bytes: Handler = (_, response) => void response.end(PICTURE_BYTES);
  api = await StubApi.start({
    'GET /health/live': (_, response) => answerJson(response, 200, { live: true }),
    'GET /v1/workers': (_, response) => answerJson(response, 200, { data: [] }),
    'POST /v1/jobs': (...args) => submit(...args),
    [`GET /v1/jobs/${ID}`]: (_, response) => answerJson(response, 200, final),
    [`POST /v1/jobs/${ID}/cancel`]: (_, response) => {
      final = job({ state: 'cancelled', artifacts: [] });
      answerJson(response, 202, final);
    },
    [`GET /v1/jobs/${ID}/events`]: (...args) => events(...args),
    [`GET /v1/jobs/${ID}/artifacts/0`]: bytes,
    [`GET /v1/jobs/${ID}/artifacts/1`]: bytes,
  });
});

afterEach(async () => {
  await api.stop();
  rmSync(cwd, { recursive: true, force: true });
});

function generate(...args: string[]) {
  const terminal: Terminal = {
    env: { HOME: cwd },
    cwd,
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    draw: () => {},
    columns: () => null,
    unicode: true,
  };
  return runProgram(['generate', 'a cat', '--server', api.url, ...args], terminal);
}

describe('safelight generate', () => {
  it('saves the picture and prints its path last, after seed and timings', async () => {
    expect(await generate()).toBe(0);
    expect(out).toEqual([
      'seed     7',
      'queued   0.4 s',
      'encode   0.1 s',
      'denoise  2.0 s',
      'save     0.5 s',
      'total    3.0 s',
      join(cwd, 'a-cat-7.png'),
    ]);
    expect(readFileSync(join(cwd, 'a-cat-7.png'))).toEqual(PICTURE_BYTES);
    expect(err).toEqual(['submitting', 'denoising: 100 %', 'downloading the picture']);
  });

  it('sends what was said and nothing else', async () => {
    submit = (_, response, body) => {
      expect(JSON.parse(body)).toEqual({
        prompt: 'a cat',
        negative_prompt: 'dogs',
        width: 64,
        height: 128,
        num_inference_steps: 4,
        guidance_scale: 7.5,
        num_images: 2,
        seed: 7,
        scheduler: 'EulerDiscreteScheduler',
        priority: 'high',
        model: 'tiny',
        output_format: 'png',
      });
      answerJson(response, 202, job({ state: 'queued' }));
    };
    final = job({ artifacts: [picture(0), picture(1)] });
    const picturesArgs = [
      '--negative',
      'dogs',
      '--size',
      '64x128',
      '--steps',
      '4',
      '--guidance',
      '7.5',
      '--images',
      '2',
    ];
    const code = await generate(
      ...picturesArgs,
      '--seed',
      '7',
      '--scheduler',
      'EulerDiscreteScheduler',
      '--priority',
      'high',
      '--model',
      'tiny',
      '--format',
      'png',
    );
    expect(code).toBe(0);
    expect(out[0]).toBe('seeds    7, 8');
    expect(out.slice(-2)).toEqual([join(cwd, 'a-cat-7-0.png'), join(cwd, 'a-cat-7-1.png')]);
  });

  it('sends the pictures it is told to start from, read from where it runs', async () => {
    writeFileSync(join(cwd, 'house.png'), 'a house');
    mkdirSync(join(cwd, 'in'));
    writeFileSync(join(cwd, 'in', 'mask.png'), 'its door');
    writeFileSync(join(cwd, 'in', 'a:b'), 'edges');
    submit = (_, response, body) => {
      expect(JSON.parse(body)).toEqual({
        prompt: 'a cat',
        init_image: btoa('a house'),
        mask_image: btoa('its door'),
        strength: 0.6,
        loras: [{ id: 'ink' }, { id: 'paper', weight: -0.5 }],
        controls: [
          { id: 'canny', image: btoa('edges') },
          { id: 'depth', image: btoa('edges'), scale: 0.7 },
        ],
      });
      answerJson(response, 202, job({ state: 'queued' }));
    };
    const from = ['--init-image', 'house.png', '--mask-image', join(cwd, 'in', 'mask.png'), '--strength', '0.6'];
    const how = ['--lora', 'ink', '--lora', 'paper:-0.5', '--control', 'canny:in/a:b', '--control', 'depth:in/a:b:0.7'];
    expect(await generate(...from, ...how)).toBe(0);
  });

  it('saves a video under its own extension', async () => {
    final = job({ artifacts: [{ ...picture(0), media_type: 'video/mp4' }] });
    expect(await generate('--format', 'mp4')).toBe(0);
    expect(out.at(-1)).toBe(join(cwd, 'a-cat-7.mp4'));
    expect(await generate('--out', 'cat.mp4')).toBe(0);
    expect(out.at(-1)).toBe(join(cwd, 'cat.mp4'));
  });

  it('reads no picture that no server would take', async () => {
    writeFileSync(join(cwd, 'large.png'), '');
    truncateSync(join(cwd, 'large.png'), 20 * 1024 * 1024 + 1);
    expect(await generate('--init-image', 'large.png')).toBe(2);
    expect(err.join('\n')).toContain('has 20971521 bytes; a server takes at most 20971520');
    expect(api.requests).toEqual([]);
  });

  it('prints one JSON object and nothing else on stdout when asked to', async () => {
    expect(await generate('--json', '--out', 'cat.png')).toBe(0);
    expect(out).toHaveLength(1);
    expect(JSON.parse(out[0] ?? '')).toEqual(final);
    expect(err.at(-1)).toBe(join(cwd, 'cat.png'));
  });

  it('tells why a job failed and what to do', async () => {
    const failure = { kind: 'device_out_of_memory', phase: 'denoise', step: 3, message: '2 GiB were asked for' };
    final = job({ state: 'failed', failure, artifacts: [], attempts: [attempt({ outcome: 'failed', failure })] });
    expect(await generate()).toBe(1);
    expect(out).toEqual([]);
    expect(err.at(-1)).toBe(
      [
        `The job ${ID} failed after 1 attempt.`,
        '  device_out_of_memory in denoise at step 3: 2 GiB were asked for',
        'Next: ask for a smaller size or fewer images, or free memory on the device.',
      ].join('\n'),
    );
  });

  it('ends with 2 and the fields at fault when the server refuses the request', async () => {
    submit = (_, response) =>
      answerJson(response, 422, {
        title: 'Some fields cannot be accepted',
        status: 422,
        code: 'invalid_request',
        errors: [{ field: 'width', message: 'must be a multiple of 8', value: 65, limit: { multiple_of: 8 } }],
      });
    expect(await generate('--size', '65x64')).toBe(2);
    expect(err.at(-1)).toBe(
      'Some fields cannot be accepted.\n  width is 65: must be a multiple of 8\nNext: change the values above; nothing was enqueued.',
    );
  });

  it.each([
    [['--steps', '0'], "option '--steps <n>' argument '0' is invalid. Allowed is a whole number from 1 up."],
    [
      ['--size', '64'],
      "option '--size <WxH>' argument '64' is invalid. Allowed is WIDTHxHEIGHT in pixels, such as 512x768.",
    ],
    [['--seed', '9223372036854775808'], 'Allowed is a whole number from 0 to 9223372036854775807.'],
    [['--guidance', 'much'], 'Allowed is a number, such as 7.5.'],
    [['--format', 'gif'], 'Allowed choices are png, webp, jpeg, mp4.'],
    [['--sede', '7'], "unknown option '--sede'\n(Did you mean --seed?)"],
    [['--out', 'cat.gif'], 'extension of no picture or video format'],
    [['--out', 'none/cat.png'], 'There is no folder'],
    [['--init-image', 'none.png'], `none.png cannot be read: ENOENT`],
    [['--mask-image', '.'], 'cannot be read: EISDIR'],
    [['--control', 'canny'], 'Allowed is ID:FILE or ID:FILE:SCALE'],
    [['--control', ':edges.png'], 'Allowed is ID:FILE or ID:FILE:SCALE'],
    [['--lora', 'ink:much'], 'Allowed is ID or ID:WEIGHT'],
    [['--strength', 'much'], 'Allowed is a number'],
  ])('ends with 2 before anything is sent for %j', async (args, message) => {
    expect(await generate(...args)).toBe(2);
    expect(err.join('\n')).toContain(message);
    expect(api.requests).toEqual([]);
  });

  it('cancels the job when it is interrupted', async () => {
    events = (_, response) => {
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .write(stream(['state', { state: 'running', attempt: 1 }]));
      process.emit('SIGINT', 'SIGINT');
    };
    expect(await generate()).toBe(130);
    expect(api.requests).toContain(`POST /v1/jobs/${ID}/cancel`);
    expect(err.at(-1)).toBe(`Interrupted: the job ${ID} is cancelled.`);
    expect(process.listenerCount('SIGINT')).toBe(0);
  });

  it('says when the server that was named does not answer', async () => {
    const { url } = api;
    await api.stop();
    expect(await generate()).toBe(1);
    expect(err.at(-1)).toContain(`No answer from ${url}`);
    api = await StubApi.start({});
  });

  it('ends with 78 when the settings cannot work', async () => {
    expect(await generate('--config', 'none.yaml')).toBe(78);
    expect(err.at(-1)).toContain('none.yaml: there is no such file');
  });
});
