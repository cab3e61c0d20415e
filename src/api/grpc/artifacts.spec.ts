import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { GrpcClients, readAll } from '../../../test/support/grpc-client.js';
import { rawEnd, RawGrpc } from '../../../test/support/grpc-raw.js';
import { eventually } from '../../../test/support/signals.js';
import { DownloadArtifactRequest, DownloadArtifactResponse } from '../../gen/safelight/v1/safelight.pb.js';

const CHUNK = 256 * 1024;
const MEBIBYTE = 1024 * 1024;
const UUID = '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5';

describe('DownloadArtifact', () => {
  let api: RunningApi;
  let grpc: GrpcClients;
  beforeEach(async () => {
    api = await startApi({ grpc: {} });
    grpc = new GrpcClients(api.grpcAddress);
  });
  afterEach(async () => {
    grpc.close();
    await api.close();
  });

  async function made(picture: Buffer): Promise<string> {
    const { id } = await grpc.submit({ prompt: 'x' });
    await api.succeed(await api.claim(), picture);
    return id;
  }

  const download = (jobId: string, index = 0) => readAll(grpc.jobs.downloadArtifact({ jobId, index }));

  it.each([1, CHUNK, CHUNK + 1, 5 * MEBIBYTE + 7])(
    'sends %d bytes in chunks, the first with what they are',
    async (bytes) => {
      const picture = randomBytes(bytes);
      const { messages, status } = await download(await made(picture));
      expect(status).toBe('OK');
      const sha256 = createHash('sha256').update(picture).digest('hex');
      const facts = { index: 0, mediaType: 'image/png', sizeBytes: String(bytes), sha256 };
      expect(messages[0]?.artifact).toMatchObject(facts);
      expect(messages.slice(1).every(({ artifact }) => artifact === undefined)).toBe(true);
      expect(Buffer.concat(messages.map(({ chunk }) => chunk)).equals(picture)).toBe(true);
      expect(messages.map(({ chunk }) => chunk.length)).toEqual([
        ...Array.from({ length: Math.ceil(bytes / CHUNK) - 1 }, () => CHUNK),
        bytes % CHUNK || CHUNK,
      ]);
    },
  );

  it('sends what has no bytes as one message', async () => {
    const { messages, status } = await download(await made(Buffer.alloc(0)));
    expect([messages.map(({ chunk, artifact }) => [chunk.length, artifact?.sizeBytes]), status]).toEqual([
      [[0, '0']],
      'OK',
    ]);
  });

  it('knows no other artifact', async () => {
    const id = await made(Buffer.from('x'));
    for (const [jobId, index] of [
      [id, 1],
      [id, 4_294_967_295],
      [UUID, 0],
      ['../x', 0],
    ] as const) {
      expect(await download(jobId, index)).toMatchObject({ status: 'NOT_FOUND', messages: [] });
    }
  });

  // Only Linux tells how far a process has read a file.
  const suite = process.platform === 'linux' ? describe : describe.skip;
  suite('for a slow client', () => {
    it('reads no further ahead than its client does, and all of it once the client reads', async () => {
      const picture = randomBytes(48 * MEBIBYTE);
      const jobId = await made(picture);
      const slow = await RawGrpc.connect(api.grpcAddress);
      try {
        const message = DownloadArtifactRequest.encode({ jobId, index: 0 }).finish();
        const stream = slow.open('/safelight.v1.JobService/DownloadArtifact', { message });
        const path = `${jobId}.png`;
        let looks: number[] = [];
        // Without a bound the file would be read to its end between two looks.
        const position = await eventually('the server has stopped reading', async () => {
          looks = [positionIn(path) ?? 0, ...looks].slice(0, 10);
          const [latest = 0] = looks;
          return latest > 0 && looks.length === 10 && looks.every((look) => look === latest) ? latest : null;
        });
        expect(position).toBeLessThan(2 * MEBIBYTE);
        const ended = rawEnd(stream);
        const hash = createHash('sha256');
        for (const { chunk } of messagesIn(await readWhole(stream))) hash.update(chunk);
        expect(await ended).toMatchObject({ status: '0' });
        expect(hash.digest('hex')).toBe(createHash('sha256').update(picture).digest('hex'));
        expect(positionIn(path)).toBeNull();
      } finally {
        slow.close();
      }
    });

    it('closes the file of a client that goes in the middle', async () => {
      const jobId = await made(randomBytes(8 * MEBIBYTE));
      const slow = await RawGrpc.connect(api.grpcAddress);
      const message = DownloadArtifactRequest.encode({ jobId, index: 0 }).finish();
      slow.open('/safelight.v1.JobService/DownloadArtifact', { message });
      await eventually('the file is open', async () => positionIn(`${jobId}.png`));
      slow.close();
      await eventually('the file is closed', async () => (positionIn(`${jobId}.png`) === null ? true : null));
    });
  });
});

/** How far this process has read a file it has open; null: it has none of this name. */
function positionIn(name: string): number | null {
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (!readlinkSync(`/proc/self/fd/${fd}`).endsWith(`/${name}`)) continue;
      return Number(/^pos:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]);
    } catch {
      // Closed meanwhile: the folder lists what was open a moment ago.
    }
  }
  return null;
}

async function readWhole(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function messagesIn(bytes: Buffer): DownloadArtifactResponse[] {
  const messages: DownloadArtifactResponse[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    messages.push(DownloadArtifactResponse.decode(bytes.subarray(at + 5, end)));
    at = end;
  }
  return messages;
}
