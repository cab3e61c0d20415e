import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';

import { PICTURES, pngHeader } from '../../test/support/pictures.js';
import { InputsConfig } from '../config/inputs.config.js';
import type { FetchedPicture } from '../jobs/ports/picture-source.port.js';
import type { Surroundings } from '../net/guarded-request.js';
import { THIS_MACHINE } from '../net/guarded-request.js';
import { HttpPictureSource } from './http-picture-source.js';

const PNG = Buffer.from(PICTURES['a PNG'], 'base64');
const JPEG = Buffer.from(PICTURES['a progressive JPEG with Exif data'], 'base64');
const MAX_PIXELS = 64_000_000;

/** A server on loopback, and what it was asked. */
class Origin {
  readonly asked: IncomingMessage[] = [];
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.end(PNG);
  private readonly server: Server;
  /** Requests whose connection has closed. */
  private readonly closed: Promise<unknown>[] = [];

  constructor() {
    this.server = createServer((request, response) => {
      this.asked.push(request);
      this.closed.push(once(response, 'close'));
      this.answer(request, response);
    });
  }

  async listen(host: string): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, host, resolve));
    return this;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  allClosed(): Promise<unknown> {
    return Promise.all(this.closed);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

describe('HttpPictureSource', () => {
  /** Counts as the public internet where `surroundings` are given. */
  let origin: Origin;
  /** Counts as private there. */
  let inside: Origin;
  beforeEach(async () => {
    origin = await new Origin().listen('127.0.0.1');
    inside = await new Origin().listen('127.0.0.2');
  });
  afterEach(async () => {
    await origin.close();
    await inside.close();
  });

  const config = (changes: Partial<InputsConfig> = {}) =>
    new InputsConfig({
      urlsEnabled: true,
      allowPrivateAddresses: true,
      allowedPorts: [origin.port, inside.port],
      timeoutMs: 5000,
      ...changes,
    });
  const urlOf = (path = '/a.png', host = '127.0.0.1') => `http://${host}:${origin.port}${path}`;
  const fetchAll = (
    urls: string[],
    changes: Partial<InputsConfig> = {},
    surroundings = THIS_MACHINE,
    signal = new AbortController().signal,
  ) => new HttpPictureSource(config(changes), surroundings).fetchAll(urls, { maxPixels: MAX_PIXELS, signal });
  const fetchOne = async (
    url: string,
    ...rest: Parameters<typeof fetchAll> extends [unknown, ...infer R] ? R : never
  ) => {
    const [picture] = await fetchAll([url], ...rest);
    return picture as FetchedPicture;
  };
  const refusedAs = (kind: string, words = '') => ({
    ok: false,
    refusal: { kind, message: expect.stringContaining(words) },
  });

  it('has the bytes of a picture, and tells its host nothing but where it looks', async () => {
    expect(await fetchOne(urlOf('/a.png?token=x'))).toEqual({ ok: true, bytes: PNG });
    const [{ url, method, headers } = {}] = origin.asked;
    expect({ url, method }).toEqual({ url: '/a.png?token=x', method: 'GET' });
    expect(headers).toEqual({
      accept: 'image/png, image/jpeg, image/webp',
      'accept-encoding': 'identity',
      'user-agent': 'safelight',
      host: `127.0.0.1:${origin.port}`,
      connection: 'close',
    });
  });

  it('believes the bytes and not what is said of them', async () => {
    origin.answer = (_, response) => response.setHeader('content-type', 'text/html').end(JPEG);
    expect(await fetchOne(urlOf())).toEqual({ ok: true, bytes: JPEG });
    origin.answer = (_, response) =>
      response.setHeader('content-type', 'image/png').end('<html>private page</html>'.repeat(9));
    const refused = await fetchOne(urlOf());
    expect(refused).toMatchObject(refusedAs('no_picture', 'PNG, a JPEG or a WebP'));
    expect(JSON.stringify(refused)).not.toContain('private page');
  });

  it('asks nobody unless it is turned on', async () => {
    expect(await fetchOne(urlOf(), { urlsEnabled: false })).toMatchObject(refusedAs('off', 'inputs.urls_enabled'));
    expect(origin.asked).toEqual([]);
  });

  it('asks nobody at a private address unless that is allowed, by name or by number', async () => {
    for (const host of ['127.0.0.1', 'localhost', '2130706433'])
      expect(await fetchOne(urlOf('/', host), { allowPrivateAddresses: false })).toMatchObject(
        refusedAs('not_allowed', 'private address'),
      );
    expect(origin.asked).toEqual([]);
  });

  describe('where 127.0.0.1 counts as public and 127.0.0.2 as private', () => {
    const strict = { allowPrivateAddresses: false };
    let looked: string[];
    /** A name server that answers each question with the next of these. */
    const answering = (...answers: string[][]): Surroundings => ({
      resolve: (host) => {
        looked.push(host);
        const addresses = answers[Math.min(looked.length, answers.length) - 1] ?? [];
        return Promise.resolve(addresses.map((address) => ({ address, family: 4 })));
      },
      isPrivate: (address) => address !== '127.0.0.1',
    });
    beforeEach(() => {
      looked = [];
    });

    it('looks a name up once and connects to what was found', async () => {
      const rebinding = answering(['127.0.0.1'], ['127.0.0.2']);
      expect(await fetchOne(urlOf('/a', 'pictures.example'), strict, rebinding)).toMatchObject({ ok: true });
      expect(looked).toEqual(['pictures.example']);
      expect(origin.asked[0]?.headers.host).toBe(`pictures.example:${origin.port}`);
    });

    it('does not connect to a name that means a private address', async () => {
      const url = `http://pictures.example:${inside.port}/a`;
      expect(await fetchOne(url, strict, answering(['127.0.0.2']))).toMatchObject(
        refusedAs('not_allowed', 'private address'),
      );
      expect(inside.asked).toEqual([]);
      // The same is had where private addresses are allowed: nothing else stood against it.
      looked = [];
      expect(await fetchOne(url, {}, answering(['127.0.0.2']))).toMatchObject({ ok: true });
    });

    it('takes the public ones of the addresses of a name', async () => {
      const url = `http://pictures.example:${inside.port}/a`;
      expect(await fetchOne(url, strict, answering(['127.0.0.2', '127.0.0.1']))).toMatchObject(
        refusedAs('unreachable'),
      );
      expect(inside.asked).toEqual([]);
    });

    it('judges a redirect as it did the address before it, with a look of its own', async () => {
      const rebinding = answering(['127.0.0.1'], ['127.0.0.2']);
      origin.answer = (_, response) =>
        response.writeHead(302, { location: `http://pictures.example:${inside.port}/b` }).end();
      expect(await fetchOne(urlOf('/a', 'pictures.example'), strict, rebinding)).toMatchObject(
        refusedAs('not_allowed', 'private address'),
      );
      expect(looked).toHaveLength(2);
      expect(inside.asked).toEqual([]);
    });

    it.each(['http://127.0.0.2:PORT/', 'http://localhost:PORT/', 'http://2130706434:PORT/', 'http://[::1]:PORT/'])(
      'does not follow a redirect to %s',
      async (location) => {
        origin.answer = (_, response) =>
          response.writeHead(307, { location: location.replace('PORT', String(inside.port)) }).end();
        expect(await fetchOne(urlOf(), strict, answering())).toMatchObject(
          refusedAs('not_allowed', 'the address it leads to must not be at a private address'),
        );
        expect(inside.asked).toEqual([]);
      },
    );
  });

  it('follows as many redirects as it may and no more', async () => {
    origin.answer = ({ url = '' }, response) => {
      const left = Number(url.slice(1));
      if (left === 0) response.end(PNG);
      else response.writeHead(301, { location: `/${left - 1}` }).end('moved');
    };
    expect(await fetchOne(urlOf('/3'))).toMatchObject({ ok: true });
    expect(await fetchOne(urlOf('/4'))).toMatchObject(refusedAs('not_allowed', 'redirects too often'));
    expect(await fetchOne(urlOf('/1'), { maxRedirects: 0 })).toMatchObject(refusedAs('not_allowed'));
    expect(origin.asked).toHaveLength(4 + 4 + 1);
  });

  it.each([
    ['an error', (response: ServerResponse) => response.writeHead(404).end(PNG), 'bad_answer', 'answered with 404'],
    ['a part', (response: ServerResponse) => response.writeHead(206).end(PNG), 'bad_answer', '206'],
    ['a redirect to nowhere', (response: ServerResponse) => response.writeHead(302).end(PNG), 'bad_answer', '302'],
    [
      'a compressed body',
      (response: ServerResponse) => response.setHeader('content-encoding', 'gzip').end(gzipSync(PNG)),
      'bad_answer',
      'compressed',
    ],
    ['nothing', (response: ServerResponse) => response.end(), 'no_picture', ''],
    ['a broken connection', (response: ServerResponse) => response.destroy(), 'unreachable', 'ECONNRESET'],
    [
      'less than it says',
      (response: ServerResponse) => {
        response.setHeader('content-length', PNG.length + 9);
        response.write(PNG, () => response.destroy());
      },
      'unreachable',
      'ECONNRESET',
    ],
    [
      'a change of protocol',
      (response: ServerResponse) =>
        response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
      'unreachable',
      'no answer',
    ],
    [
      'too many pixels',
      (response: ServerResponse) => response.end(pngHeader(8001, 8000)),
      'too_large',
      'not 8001 × 8000',
    ],
  ])('refuses %s', async (_, answer, kind, words) => {
    origin.answer = (_request, response) => {
      answer(response);
    };
    expect(await fetchOne(urlOf())).toMatchObject(refusedAs(kind, words));
  });

  it('refuses what speaks another protocol', async () => {
    const other = createTcpServer((socket) => socket.resume().end('SSH-2.0-OpenSSH_9.9\r\n'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const picture = await fetchOne(`http://127.0.0.1:${port}/`, { allowedPorts: [port] });
    expect(picture).toMatchObject(refusedAs('unreachable', 'HPE_'));
    expect(JSON.stringify(picture)).not.toContain('SSH');
    await new Promise((resolve) => other.close(resolve));
  });

  it('refuses where nobody listens, naming no address', async () => {
    const { port } = inside;
    await inside.close();
    inside = await new Origin().listen('127.0.0.3');
    const picture = await fetchOne(`http://127.0.0.2:${port}/`, { allowedPorts: [port] });
    expect(picture).toMatchObject(refusedAs('unreachable', 'ECONNREFUSED'));
    expect(JSON.stringify(picture)).not.toContain('127.0.0.2');
  });

  describe('reads no further than it must', () => {
    /** Sends until the connection is closed. */
    const endless = (begin: Buffer) => (_: IncomingMessage, response: ServerResponse) => {
      response.write(begin);
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384)));
      };
      response.on('drain', more);
      more();
    };

    it('of a body that does not end', async () => {
      origin.answer = endless(PNG);
      expect(await fetchOne(urlOf(), { maxBytes: 100_000 })).toEqual({
        ok: false,
        refusal: {
          kind: 'too_large',
          message: 'must have at most 100000 bytes',
          limit: { max_bytes: 100_000, setting: 'inputs.max_bytes' },
        },
      });
      await origin.allClosed();
    });

    it('of one that says how long it is, or lies', async () => {
      origin.answer = (_, response) => response.writeHead(200, { 'content-length': 100_001 }).flushHeaders();
      expect(await fetchOne(urlOf(), { maxBytes: 100_000 })).toMatchObject(refusedAs('too_large'));
      await origin.allClosed();
    });

    it('of one that begins as no picture, or as one with too many pixels', async () => {
      origin.answer = endless(Buffer.from('GIF89a'));
      expect(await fetchOne(urlOf())).toMatchObject(refusedAs('no_picture'));
      origin.answer = endless(pngHeader(30_000, 30_000));
      expect(await fetchOne(urlOf())).toMatchObject(refusedAs('too_large', 'pixels'));
      await origin.allClosed();
    });

    it('of several that are too much together', async () => {
      origin.answer = (_, response) => response.end(Buffer.concat([PNG, Buffer.alloc(6000)]));
      const urls = ['/a', '/b', '/c'].map((path) => urlOf(path));
      const pictures = await fetchAll(urls, { maxTotalBytes: 2 * (6000 + PNG.length) });
      expect(pictures.filter(({ ok }) => ok)).toHaveLength(2);
      expect(pictures.filter(({ ok }) => !ok)).toMatchObject([refusedAs('too_large', 'together')]);
    });
  });

  describe('waits no longer than it must', () => {
    const late = refusedAs('too_slow', 'within 300 ms');
    const soon = { timeoutMs: 300 };

    it.each([
      ['an answer that does not come', () => {}],
      ['a body that stops', (response: ServerResponse) => response.write(PNG.subarray(0, 40))],
      ['a header that stops', (response: ServerResponse) => response.socket?.write('HTTP/1.1 200 OK\r\ncontent-')],
      [
        'hints that nothing follows',
        (response: ServerResponse) => response.socket?.write('HTTP/1.1 103 Early Hints\r\n\r\n'),
      ],
    ])('for %s', async (_, answer) => {
      origin.answer = (_request, response) => void answer(response);
      expect(await fetchOne(urlOf(), soon)).toMatchObject(late);
      await origin.allClosed();
    });

    it('for a name that is not found', async () => {
      const mute = { ...THIS_MACHINE, resolve: () => new Promise<never>(() => {}) };
      expect(await fetchOne(urlOf('/', 'pictures.example'), soon, mute)).toMatchObject(late);
    });

    it('for redirects that take their time each', async () => {
      const held: NodeJS.Timeout[] = [];
      origin.answer = (_, response) =>
        void held.push(setTimeout(() => response.writeHead(302, { location: '/' }).end(), 100));
      expect(await fetchOne(urlOf(), { ...soon, maxRedirects: 10 })).toMatchObject(late);
      held.forEach(clearTimeout);
    });

    it('once whoever asked has gone', async () => {
      const gone = new AbortController();
      origin.answer = () => gone.abort();
      expect(await fetchOne(urlOf(), {}, THIS_MACHINE, gone.signal)).toMatchObject(refusedAs('gone'));
      await origin.allClosed();
    });
  });

  describe('takes turns', () => {
    /** Holds every request back; `full` when so many are there at once. */
    function holding(count: number) {
      const held: ServerResponse[] = [];
      const { promise: full, resolve } = Promise.withResolvers<void>();
      let most = 0;
      origin.answer = (_, response) => {
        held.push(response);
        most = Math.max(most, held.length);
        if (held.length >= count) resolve();
      };
      const release = () => {
        origin.answer = (_, response) => response.end(PNG);
        held.splice(0).forEach((response) => response.end(PNG));
      };
      return { full, release, most: () => most };
    }
    const urls = (count: number) => Array.from({ length: count }, (_, index) => urlOf(`/${index}`));

    it('within one submission', async () => {
      const { full, release, most } = holding(4);
      const fetching = fetchAll(urls(9));
      await full;
      expect(origin.asked).toHaveLength(4);
      release();
      expect((await fetching).every(({ ok }) => ok)).toBe(true);
      expect(most()).toBe(4);
    });

    it('among all, and gives every place back, whatever came of it', async () => {
      const source = new HttpPictureSource(config({ maxConcurrent: 2, timeoutMs: 1000 }));
      const bounds = (signal = new AbortController().signal) => ({ maxPixels: MAX_PIXELS, signal });
      const { full } = holding(2);
      const gone = new AbortController();
      const first = source.fetchAll(urls(2), bounds(gone.signal));
      const second = source.fetchAll(urls(2), bounds());
      await full;
      gone.abort();
      expect(await first).toMatchObject([refusedAs('gone'), refusedAs('gone')]);
      expect(await second).toMatchObject([refusedAs('too_slow'), refusedAs('too_slow')]);
      expect(origin.asked).toHaveLength(4);
      origin.answer = (_, response) => response.end(PNG);
      expect(await source.fetchAll(urls(3), bounds())).toEqual(urls(3).map(() => ({ ok: true, bytes: PNG })));
    });
  });
});
