import { afterEach, describe, expect, it } from '@jest/globals';

import { answerJson, StubApi } from '../../../test/support/cli.js';
import { EXIT } from '../exit-code.js';
import { ApiClient } from './api-client.js';
import { ApiError } from './api-error.js';
import { UnreachableError } from './connect-error.js';
import { exactInteger, parseJson } from './json.js';
import type { ProblemJson } from './wire.js';

let api: StubApi | null = null;

afterEach(async () => {
  await api?.stop();
  api = null;
});

describe('the client', () => {
  it('sends the key of idempotency and keeps seeds that a number cannot hold', async () => {
    api = await StubApi.start({
      'POST /v1/jobs': (request, response, body) => {
        expect(request.headers['idempotency-key']).toBe('k1');
        response.writeHead(202, { 'content-type': 'application/json' }).end(`{"id":"1","request":${body}}`);
      },
    });
    const body = JSON.stringify({ seed: exactInteger('9223372036854775807') });
    expect(body).toBe('{"seed":9223372036854775807}');
    const job = await new ApiClient(api.url).submit(body, 'k1');
    expect(job.request.seed).toBe('9223372036854775807');
  });

  it('reads a problem document with its wait', async () => {
    const problem = { type: 'x', title: 'The queue is full', status: 429, code: 'queue_full', errors: [] };
    api = await StubApi.start({
      'POST /v1/jobs': (_, response) => answerJson(response, 429, problem, { 'retry-after': '3' }),
    });
    const error = await new ApiClient(api.url).submit('{}', 'k').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 429, retryAfter: 3, isPassing: true });
    expect((error as ApiError).toCliError()).toMatchObject({
      exitCode: EXIT.failed,
      message: 'The queue is full.',
      nextStep: 'try again in 3 s.',
    });
  });

  it('says in one line why there is no answer', async () => {
    const gone = await StubApi.start({});
    await gone.stop();
    const error = await new ApiClient(gone.url).job('1').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnreachableError);
    expect((error as Error).message).toMatch(
      /^No answer from http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED [\d.:]+\.$/,
    );
  });

  it('takes an answer that is not JSON for what it is', async () => {
    api = await StubApi.start({ 'GET /v1/jobs/1': (_, response) => void response.end('<html>') });
    await expect(new ApiClient(api.url).job('1')).rejects.toThrow('the server answered 200');
  });

  it('knows a live server from another one', async () => {
    api = await StubApi.start({ 'GET /health/live': (_, response) => answerJson(response, 200, { live: true }) });
    expect(await new ApiClient(api.url).isAlive(1000)).toBe(true);
    await api.stop();
    expect(await new ApiClient(api.url).isAlive(1000)).toBe(false);
    api = null;
  });
});

describe('a refusal', () => {
  const refusal = (errors: ProblemJson['errors'], status = 422) =>
    new ApiError(
      status,
      { title: 'Some fields cannot be accepted', status, code: 'invalid_request', errors },
      null,
    ).toCliError();

  it.each<[string, unknown, unknown, string]>([
    ['a range', 65, { multiple_of: 8 }, '  width is 65: must be right (allowed: multiple of 8)'],
    ['a list', 'x', ['a', 'b'], '  width is "x": must be right (allowed: one of a, b)'],
    ['two ends', 5000, { min: 64, max: 2048 }, '  width is 5000: must be right (allowed: min 64, max 2048)'],
    ['nothing', null, null, '  width must be right'],
  ])('names field, value and limit of %s', (_, value, limit, line) => {
    const error = refusal([{ field: 'width', message: 'must be right', value, limit }]);
    expect(error.message).toBe(`Some fields cannot be accepted.\n${line}`);
    expect(error.exitCode).toBe(EXIT.usage);
  });

  it('does not say a limit twice', () => {
    const error = refusal([
      { field: 'steps', message: 'must be from 1 to 150', value: 0, limit: { min: 1, max: 150 } },
    ]);
    expect(error.message).toContain('  steps is 0: must be from 1 to 150');
    expect(error.message).not.toContain('allowed');
  });
});

it('parses numbers as numbers where they fit', () => {
  expect(parseJson('{"a":1.5,"b":7,"c":12345678901234567890}')).toEqual({ a: 1.5, b: 7, c: '12345678901234567890' });
});
