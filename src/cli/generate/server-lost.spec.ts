import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import type { Handler } from '../../../test/support/cli.js';
import { answerJson, ID, job, PICTURE_BYTES, StubApi } from '../../../test/support/cli.js';
import { commandSettings } from '../command-settings.js';
import { runProgram } from '../program.js';
import type { Terminal } from '../terminal.js';
import { runGenerate } from './run-generate.js';

const FINAL = [
  'event: state\ndata: {"state":"running","attempt":1}\n\n',
  'event: progress\ndata: {"phase":"denoise","step":4,"steps":4,"fraction":0.9,"eta_ms":10}\n\n',
  `event: final\ndata: ${JSON.stringify({ job: job() })}\n\n`,
].join('');

let cwd: string;
let api: StubApi;
let err: string[];
let live: Handler;
let submit: Handler;
let events: Handler;
let bytes: Handler;

beforeEach(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'safelight-generate-'));
  err = [];
  live = (_, response) => answerJson(response, 200, { live: true });
  submit = (_, response) => answerJson(response, 202, job({ state: 'queued' }));
  events = (_, response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(FINAL);
  bytes = (_, response) => void response.end(PICTURE_BYTES);
  api = await StubApi.start({
    'GET /health/live': (...args) => live(...args),
    'GET /v1/workers': (_, response) => answerJson(response, 200, { data: [] }),
    'POST /v1/jobs': (...args) => submit(...args),
    [`GET /v1/jobs/${ID}`]: (_, response) => answerJson(response, 200, job()),
    [`POST /v1/jobs/${ID}/cancel`]: (_, response) => answerJson(response, 202, job({ state: 'cancelled' })),
    [`GET /v1/jobs/${ID}/events`]: (...args) => events(...args),
    [`GET /v1/jobs/${ID}/artifacts/0`]: (...args) => bytes(...args),
  });
});

afterEach(async () => {
  await api.stop();
  rmSync(cwd, { recursive: true, force: true });
});

function terminal(): Terminal {
  return {
    env: { HOME: cwd },
    cwd,
    out: () => {},
    err: (text) => void err.push(text),
    draw: () => {},
    columns: () => null,
    unicode: true,
  };
}

const generate = () => runProgram(['generate', 'a cat', '--server', api.url], terminal());

describe('safelight generate, when the server that was named goes away', () => {
  let isAway: boolean;
  /** Answers to nothing while it is away. */
  const reached =
    (handler: Handler): Handler =>
    (request, response, body) =>
      isAway ? void response.destroy() : handler(request, response, body);
  /** Is back when it has been looked for. */
  const health: Handler = (request, response) => {
    reached((_, answer) => answerJson(answer, 200, { live: true }))(request, response, '');
    isAway = false;
  };

  beforeEach(() => {
    isAway = false;
  });

  it('goes on with the job when it is back, and says meanwhile what it waits for', async () => {
    let broken = 0;
    const whole = events;
    events = (request, response, body) => {
      // It dies with the stream, and is back at the fourth look.
      broken += 1;
      if (broken === 1) response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n');
      if (broken < 4) response.destroy();
      else whole(request, response, body);
    };
    expect(await generate()).toBe(0);
    expect(err).toEqual([
      'submitting',
      `no answer from ${api.url}, trying again, for up to 5 min 00 s`,
      'denoising: 100 %',
      'downloading the picture',
    ]);
  });

  it('has the picture from the server that is back, when it went away with the picture', async () => {
    bytes = reached((_, response) => void response.end(PICTURE_BYTES));
    const whole = events;
    events = (...args) => {
      whole(...args);
      isAway = true;
    };
    live = health;
    expect(await generate()).toBe(0);
    expect(readFileSync(join(cwd, 'a-cat-7.png'))).toEqual(PICTURE_BYTES);
    expect(err).toContain(`no answer from ${api.url}, trying again, for up to 5 min 00 s`);
    expect(api.requests.filter((request) => request.startsWith('POST'))).toEqual(['POST /v1/jobs']);
  });

  it('asks for the same job again when the answer to its submission was lost', async () => {
    const keys: unknown[] = [];
    submit = (request, response) => {
      keys.push(request.headers['idempotency-key']);
      if (keys.length === 1) response.destroy();
      else answerJson(response, 200, job({ state: 'queued' }));
    };
    expect(await generate()).toBe(0);
    expect(keys).toEqual([expect.any(String), keys[0]]);
  });

  it('gives up in the end, and says where the job is', async () => {
    bytes = (_, response) => void response.destroy();
    live = (_, response) => {
      // Its first answer is the one by which it was found.
      if (api.requests.length > 1) response.destroy();
      else answerJson(response, 200, { live: true });
    };
    const ending = runGenerate(terminal(), commandSettings(terminal(), undefined), 'a cat', { server: api.url }, 1);
    await expect(ending).rejects.toMatchObject({
      message: `The server ${api.url} went away and was not back within 0.0 s. It keeps the job ${ID} and goes on with it when it is back.`,
      nextStep: `when it is back: safelight jobs show ${ID} --server ${api.url}`,
    });
  });
});

describe('safelight generate, when it is interrupted while it submits', () => {
  it('cancels the job that was accepted all the same', async () => {
    submit = (_, response) => {
      process.emit('SIGINT', 'SIGINT');
      answerJson(response, 202, job({ state: 'queued' }));
    };
    expect(await generate()).toBe(130);
    expect(api.requests.at(-1)).toBe(`POST /v1/jobs/${ID}/cancel`);
    expect(err.at(-1)).toBe(`Interrupted: the job ${ID} is cancelled.`);
  });

  it('does not claim that there is no job when it cannot know', async () => {
    submit = (_, response) => {
      process.emit('SIGINT', 'SIGINT');
      response.destroy();
    };
    expect(await generate()).toBe(130);
    expect(err.at(-1)).toBe(
      `Interrupted; the server did not answer and may have taken the job.\nNext: look for it with: safelight jobs --server ${api.url}`,
    );
  });
});
