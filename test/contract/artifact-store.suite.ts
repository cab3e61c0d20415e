import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import type { OpenedArtifactStore } from '../../src/artifacts/open-artifact-store.js';
import type { ImageRef } from '../../src/domain/generation/image-ref.js';
import type { StagedFile } from '../../src/jobs/ports/artifact-store.port.js';
import { ArtifactMissingError } from '../../src/jobs/ports/artifact-transfer.port.js';

const PICTURE = Buffer.from('not really a picture');
const CHECKPOINT = Buffer.from('not really a checkpoint');

export function stagedFile(fileName: string, bytes: Uint8Array = PICTURE): StagedFile {
  return { fileName, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

export function inputOf(bytes: Uint8Array): { ref: ImageRef; bytes: Uint8Array } {
  const { sha256 } = stagedFile('', bytes);
  return { ref: { sha256, bytes: bytes.length, media_type: 'image/webp', width: 1, height: 1 }, bytes };
}

/**
 * What every artifact store must do. It knows the ports alone, so each technology runs the same suite. `open` gives the
 * store as a node has it; called again it is the next life of that node, over what the first one left.
 */
export function describeArtifactStore(name: string, open: (node: string) => OpenedArtifactStore): void {
  describe(`${name} as an artifact store`, () => {
    let a: OpenedArtifactStore;
    let b: OpenedArtifactStore;
    let jobId: string;
    let attempt: { jobId: string; token: number };
    let opened: OpenedArtifactStore[];

    const openAs = (node: string) => {
      const store = open(node);
      opened.push(store);
      return store;
    };

    beforeEach(() => {
      opened = [];
      [a, b] = [openAs('node-a'), openAs('node-b')];
      jobId = randomUUID();
      attempt = { jobId, token: 3 };
    });
    afterEach(() => opened.forEach((store) => store.close()));

    /** Leaves files where a worker would. */
    async function stage(files: Readonly<Record<string, Uint8Array>>, on = attempt, store = a): Promise<string> {
      const folder = await store.openStaging(on);
      for (const [fileName, bytes] of Object.entries(files)) writeFileSync(join(folder, fileName), bytes);
      return folder;
    }

    async function bytesOf(key: string, store = b): Promise<Buffer | null> {
      const found = await store.open(key);
      return found === null ? null : buffer(found.stream);
    }

    async function keysOf(job = jobId): Promise<Record<string, number>> {
      const found: Record<string, number> = {};
      for await (const { key, bytes } of b.keys(job)) found[key] = bytes;
      return found;
    }

    describe('for pictures', () => {
      it('adopts them in order and gives them to every node, with their sizes', async () => {
        const other = Buffer.from('another one');
        await stage({ '0.png': PICTURE, '1.png': other });
        const keys = await a.adopt(attempt, [stagedFile('0.png'), stagedFile('1.png', other)]);
        expect(keys).toEqual([`${jobId}/3/0.png`, `${jobId}/3/1.png`]);
        expect((await b.open(keys[0]!))?.bytes).toBe(PICTURE.length);
        expect(await bytesOf(keys[0]!)).toEqual(PICTURE);
        expect(await bytesOf(keys[1]!)).toEqual(other);
      });

      it('keeps those of two attempts of a job apart', async () => {
        const second = { jobId, token: 4 };
        const other = Buffer.from('drawn again');
        await stage({ '0.png': PICTURE });
        await stage({ '0.png': other }, second, b);
        const [first] = await a.adopt(attempt, [stagedFile('0.png')]);
        const [again] = await b.adopt(second, [stagedFile('0.png', other)]);
        expect(await bytesOf(first!)).toEqual(PICTURE);
        await a.discard(attempt);
        expect(await bytesOf(first!)).toBeNull();
        expect(await bytesOf(again!)).toEqual(other);
      });

      it.each([
        ['of another length', { '0.png': PICTURE, '1.png': Buffer.from('short') }],
        ['with another content', { '0.png': PICTURE, '1.png': Buffer.from('not really a pictura') }],
        ['that is not there', { '0.png': PICTURE }],
      ])('refuses a file %s than the worker said, and adopts none of them', async (_, files) => {
        await stage(files);
        const told = [stagedFile('0.png'), stagedFile('1.png')];
        await expect(a.adopt(attempt, told)).rejects.toThrow(/^1\.png is not the file/);
        expect(await keysOf()).toEqual({});
      });

      it('has nothing under a key that was never given', async () => {
        expect(await a.open(`${jobId}/3/0.png`)).toBeNull();
        await expect(a.read(`${jobId}/3/0.png`)).rejects.toThrow(ArtifactMissingError);
      });

      it.each(['../0.png', '.hidden', 'a/b.png', ''])('takes no file that is called %j', async (fileName) => {
        await stage({});
        await expect(a.adopt(attempt, [stagedFile(fileName)])).rejects.toThrow('cannot be the name of');
        await expect(a.keepCheckpoint(attempt, fileName)).rejects.toThrow('cannot be the name of');
      });
    });

    describe('for staging', () => {
      it('begins every attempt with an empty folder and leaves none behind', async () => {
        const folder = await stage({ 'half-written': PICTURE });
        expect(await a.openStaging(attempt)).toBe(folder);
        expect(existsSync(join(folder, 'half-written'))).toBe(false);
        await a.dropStaging(attempt);
        await a.dropStaging(attempt);
        expect(existsSync(folder)).toBe(false);
      });

      it('drops what a former life of the node left, and leaves alone what another node is at', async () => {
        const ofA = await stage({ '0.png': PICTURE });
        const ofB = await stage({ '0.png': PICTURE }, attempt, b);
        await openAs('node-b').dropAllStaging();
        expect(existsSync(ofB)).toBe(false);
        expect(existsSync(join(ofA, '0.png'))).toBe(true);
        expect(await a.adopt(attempt, [stagedFile('0.png')])).toEqual([`${jobId}/3/0.png`]);
      });
    });

    describe('for what a job starts from', () => {
      const input = inputOf(PICTURE);

      it('keeps the bytes where any node reads them, until the job is removed', async () => {
        await a.storeInputs(jobId, [input, inputOf(CHECKPOINT)]);
        await a.settleInputs(jobId);
        await b.openStaging(attempt);
        const [path, same] = await Promise.all([b.inputPath(attempt, input.ref), b.inputPath(attempt, input.ref)]);
        expect(readFileSync(path)).toEqual(PICTURE);
        expect(readFileSync(same)).toEqual(PICTURE);
        await b.discard(attempt);
        await b.dropAllStaging();
        await b.openStaging(attempt);
        expect(readFileSync(await b.inputPath(attempt, input.ref))).toEqual(PICTURE);
        await b.remove(jobId);
        expect(await keysOf()).toEqual({});
      });

      it('finds after a crash what was stored and not settled: of this node, and of a former life', async () => {
        await a.storeInputs(jobId, [input]);
        expect(await a.abandonedInputs()).toEqual([]);
        expect(await b.abandonedInputs()).toEqual([]);
        const next = openAs('node-a');
        expect(await next.abandonedInputs()).toEqual([jobId]);
        await next.remove(jobId);
        expect(await openAs('node-a').abandonedInputs()).toEqual([]);
        expect(await keysOf()).toEqual({});
      });

      it('keeps what a former life stored when its row turns out to be there', async () => {
        await a.storeInputs(jobId, [input]);
        const next = openAs('node-a');
        await next.settleInputs(jobId);
        expect(await openAs('node-a').abandonedInputs()).toEqual([]);
        expect(Object.values(await keysOf())).toEqual([PICTURE.length]);
      });
    });

    describe('for checkpoints', () => {
      it('hands one on to another node while the worker writes the next', async () => {
        const folder = await stage({ 'step-4.safetensors': CHECKPOINT, 'step-8.safetensors': Buffer.from('half') });
        const key = await a.keepCheckpoint(attempt, 'step-4.safetensors');
        expect(key).toBe(`${jobId}/checkpoints/3-step-4.safetensors`);
        expect(existsSync(join(folder, 'step-8.safetensors'))).toBe(true);
        await a.dropStaging(attempt);
        const resumed = { jobId, token: 5 };
        await b.openStaging(resumed);
        expect(readFileSync((await b.checkpointPath(resumed, key))!)).toEqual(CHECKPOINT);
      });

      it('outlives the attempt that left it, until it is dropped', async () => {
        await stage({ 'c.safetensors': CHECKPOINT });
        const key = await a.keepCheckpoint(attempt, 'c.safetensors');
        await a.discard(attempt);
        await openAs('node-a').dropAllStaging();
        await b.openStaging(attempt);
        expect(await b.checkpointPath(attempt, key)).not.toBeNull();
        await b.dropCheckpoint(key);
        await b.dropCheckpoint(key);
        await b.openStaging(attempt);
        expect(await b.checkpointPath(attempt, key)).toBeNull();
      });

      it('drops all of a job that goes on no more, and leaves its pictures', async () => {
        await stage({ 'c-4': CHECKPOINT, 'c-8': CHECKPOINT, '0.png': PICTURE });
        for (const fileName of ['c-4', 'c-8']) await a.keepCheckpoint(attempt, fileName);
        const [picture] = await a.adopt(attempt, [stagedFile('0.png')]);
        await b.dropCheckpoints(jobId);
        await b.dropCheckpoints(jobId);
        expect(Object.keys(await keysOf())).toEqual([picture]);
        await expect(b.dropCheckpoints('..')).rejects.toThrow('cannot be the id of a job');
      });

      it('keeps none that the worker did not write', async () => {
        await stage({});
        await expect(a.keepCheckpoint(attempt, 'c.safetensors')).rejects.toThrow('c.safetensors is not the file');
        expect(await keysOf()).toEqual({});
      });
    });

    it('removes all of a job and nothing of another', async () => {
      const other = { jobId: randomUUID(), token: 1 };
      for (const on of [attempt, other]) {
        await a.storeInputs(on.jobId, [inputOf(PICTURE)]);
        await a.settleInputs(on.jobId);
        await stage({ '0.png': PICTURE, c: CHECKPOINT }, on);
        await a.adopt(on, [stagedFile('0.png')]);
        await a.keepCheckpoint(on, 'c');
      }
      expect(Object.keys(await keysOf())).toHaveLength(3);
      await b.remove(jobId);
      await b.remove(jobId);
      expect(await keysOf()).toEqual({});
      expect(Object.keys(await keysOf(other.jobId))).toHaveLength(3);
    });

    it.each(['', '.', '..', '.staging', 'a/b'])('removes nothing for a job called %j', async (id) => {
      await stage({ '0.png': PICTURE });
      await a.adopt(attempt, [stagedFile('0.png')]);
      await expect(a.remove(id)).rejects.toThrow('cannot be the id of a job');
      expect(await bytesOf(`${jobId}/3/0.png`)).toEqual(PICTURE);
    });

    describe('for moving to another store', () => {
      it('lists all files of a job with their sizes, reads and takes them under the same keys', async () => {
        await a.storeInputs(jobId, [inputOf(PICTURE)]);
        await stage({ '0.png': PICTURE, c: CHECKPOINT });
        await a.adopt(attempt, [stagedFile('0.png')]);
        const checkpoint = await a.keepCheckpoint(attempt, 'c');
        const found = await keysOf();
        const { fileName } = stagedFile(`${inputOf(PICTURE).ref.sha256}.webp`);
        expect(found).toEqual({
          [`${jobId}/3/0.png`]: PICTURE.length,
          [`${jobId}/inputs/${fileName}`]: PICTURE.length,
          [checkpoint]: CHECKPOINT.length,
        });
        const moved = randomUUID();
        const expected: Record<string, number> = {};
        for (const [key, bytes] of Object.entries(found)) {
          await b.put(key.replace(jobId, moved), await a.read(key), bytes);
          expected[key.replace(jobId, moved)] = bytes;
        }
        expect(await keysOf(moved)).toEqual(expected);
        expect(await bytesOf(`${moved}/3/0.png`, a)).toEqual(PICTURE);
      });

      it('takes a file again: an import may be repeated', async () => {
        const key = `${jobId}/3/0.png`;
        for (const bytes of [CHECKPOINT, PICTURE]) await a.put(key, Readable.from([bytes]), bytes.length);
        expect(await bytesOf(key)).toEqual(PICTURE);
      });

      it.each([
        ['shorter', PICTURE.length + 1],
        ['longer', PICTURE.length - 1],
      ])('refuses a stream that is %s than was said, and keeps what was there', async (_, bytes) => {
        const key = `${jobId}/3/0.png`;
        await a.put(key, Readable.from([CHECKPOINT]), CHECKPOINT.length);
        const told = `expected ${bytes} bytes, found ${PICTURE.length} bytes`;
        await expect(a.put(key, Readable.from([PICTURE]), bytes)).rejects.toThrow(told);
        expect(await bytesOf(key)).toEqual(CHECKPOINT);
      });

      it('leaves nothing of a stream that breaks off', async () => {
        const breaking = Readable.from(
          (function* () {
            yield PICTURE;
            throw new Error('the archive is cut off');
          })(),
        );
        await expect(a.put(`${jobId}/3/0.png`, breaking, 100)).rejects.toThrow('the archive is cut off');
        expect(await keysOf()).toEqual({});
      });

      it.each(['../outside/0.png', 'a/b', '/etc/cron.d/x', '.unsettled/node-a/x', 'a/../b'])(
        'takes nothing under the key %s',
        async (key) => {
          await expect(a.put(key, Readable.from([PICTURE]), PICTURE.length)).rejects.toThrow('cannot be the key of');
        },
      );
    });
  });
}
