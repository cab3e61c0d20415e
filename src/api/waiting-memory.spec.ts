import type { ClientRequest } from 'node:http';
import { request as httpRequest } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import type { RunningApi } from '../../test/support/api.js';
import { startApi } from '../../test/support/api.js';
import { pngHeader } from '../../test/support/pictures.js';
import { eventually } from '../../test/support/signals.js';

const MEBIBYTE = 1024 * 1024;
const CLIENTS = 4;

/** Whole enough for who looks at its header alone. */
const PICTURE = Buffer.concat([pngHeader(64, 64), Buffer.alloc(8 * MEBIBYTE, 7)]);
const BASE64 = PICTURE.toString('base64');

const JSON_TYPE = 'application/json';
const BOUNDARY = 'between-the-parts';
const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

const part = (head: string, body: Buffer) =>
  Buffer.concat([
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; ${head}\r\n\r\n`),
    body,
    Buffer.from('\r\n'),
  ]);
const FORM = Buffer.concat([
  part('name="prompt"', Buffer.from('x')),
  part('name="image"; filename="a.png"', PICTURE),
  Buffer.from(`--${BOUNDARY}--\r\n`),
]);

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options: object) => Promise<void>;

describe('Requests that wait for their jobs', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi({
      maxBodyBytes: 32 * MEBIBYTE,
      model: { capabilities: ['text_to_image', 'image_to_image'] },
    });
  });
  afterEach(() => api.close());

  /** Bytes in use, and nothing that only waits to be collected. */
  async function inUse(): Promise<number> {
    for (let round = 0; round < 3; round++) {
      await collect({ type: 'major', execution: 'async', flavor: 'last-resort' });
      // Buffers are given back by a task of their own.
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  }

  /** Buffers may be given back a little later than what held them. */
  const gone = (before: number) =>
    eventually(
      'less than one picture is kept',
      async () => ((await inUse()) - before < PICTURE.length ? true : null),
      5_000,
    );

  const queued = (count: number) =>
    eventually('all of them wait', async () => ((await api.store.countByState()).queued === count ? true : null));

  it.each<[string, string, Buffer, Record<string, string>]>([
    ['/sdapi/v1/img2img', JSON_TYPE, Buffer.from(JSON.stringify({ prompt: 'x', init_images: [BASE64] })), {}],
    ['/v1/images/edits', FORM_TYPE, FORM, {}],
    ['/v1/jobs', JSON_TYPE, Buffer.from(JSON.stringify({ prompt: 'x', init_image: BASE64 })), { prefer: 'wait=60' }],
  ])('keep nothing of their pictures: %s', async (path, type, body, headers) => {
    const before = await inUse();
    const waiting: ClientRequest[] = [];
    for (let index = 0; index < CLIENTS; index++) {
      const sent = httpRequest(api.url + path, { method: 'POST', headers: { 'content-type': type, ...headers } });
      sent.on('error', () => undefined).end(body);
      waiting.push(sent);
      await queued(index + 1);
    }
    await gone(before);
    for (const sent of waiting) sent.destroy();
  });
});
