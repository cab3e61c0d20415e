import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import type { Handler } from '../../../test/support/cli.js';
import { StubApi } from '../../../test/support/cli.js';
import { ApiClient } from '../client/api-client.js';
import type { ArtifactJson } from '../client/wire.js';
import type { Destination } from './destination.js';
import { candidates, chooseDestination, chooseFormat } from './destination.js';
import { savePicture } from './save-picture.js';

const BYTES = Buffer.from('a picture');
const PICTURE: ArtifactJson = {
  index: 0,
  url: '/picture',
  media_type: 'image/png',
  width: 8,
  height: 8,
  bytes: BYTES.length,
  sha256: createHash('sha256').update(BYTES).digest('hex'),
  seed: 7,
};
const JOB = { prompt: 'A cat', seed: '7', count: 1 };

let folder: string;
let api: StubApi;
let answer: Handler;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'safelight-save-'));
  answer = (_, response) => void response.end(BYTES);
  api = await StubApi.start({ 'GET /picture': (...args) => answer(...args) });
});

afterEach(async () => {
  await api.stop();
  rmSync(folder, { recursive: true, force: true });
});

const save = (destination: Destination) =>
  savePicture(new ApiClient(api.url), PICTURE, candidates(destination, PICTURE, JOB));

describe('saving a picture', () => {
  it('never writes over a file that was not named', async () => {
    writeFileSync(join(folder, 'a-cat-7.png'), 'mine');
    expect(await save({ kind: 'folder', path: folder })).toBe(join(folder, 'a-cat-7-2.png'));
    expect(await save({ kind: 'folder', path: folder })).toBe(join(folder, 'a-cat-7-3.png'));
    expect(readFileSync(join(folder, 'a-cat-7.png'), 'utf8')).toBe('mine');
    expect(readFileSync(join(folder, 'a-cat-7-3.png'))).toEqual(BYTES);
  });

  it.each<Destination['kind']>(['file', 'folder'])('says where the picture is when the %s has gone', async (kind) => {
    const gone = join(folder, 'gone');
    await expect(save({ kind, path: kind === 'file' ? join(gone, 'cat.png') : gone })).rejects.toMatchObject({
      kind: 'cannot_write',
      message: expect.stringContaining('ENOENT') as unknown,
      nextStep: expect.stringContaining(`download it from ${api.url}/picture`) as unknown,
    });
  });

  it('replaces a file that was named', async () => {
    const path = join(folder, 'cat.png');
    writeFileSync(path, 'old');
    expect(await save({ kind: 'file', path })).toBe(path);
    expect(readFileSync(path)).toEqual(BYTES);
    expect(readdirSync(folder)).toEqual(['cat.png']);
  });

  it('leaves nothing behind when the bytes are not those of the job', async () => {
    answer = (_, response) => void response.end('a damaged');
    await expect(save({ kind: 'folder', path: folder })).rejects.toMatchObject({ kind: 'damaged_download' });
    expect(readdirSync(folder)).toEqual([]);
    expect(api.requests).toHaveLength(3);
  });

  it('keeps the old file when the download breaks off', async () => {
    const path = join(folder, 'cat.png');
    writeFileSync(path, 'old');
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': BYTES.length }).write('a pic', () => response.destroy());
    };
    await expect(save({ kind: 'file', path })).rejects.toThrow('No answer from');
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['cat.png']);
  });

  it('asks again after a drop', async () => {
    answer = (_, response) => {
      answer = (_request, second) => void second.end(BYTES);
      response.destroy();
    };
    expect(readFileSync(await save({ kind: 'folder', path: folder }))).toEqual(BYTES);
  });
});

describe('where to save', () => {
  it('is the current folder, a folder, or a file', async () => {
    mkdirSync(join(folder, 'sub'));
    expect(await chooseDestination(undefined, folder)).toEqual({ kind: 'folder', path: folder });
    expect(await chooseDestination('sub', folder)).toEqual({ kind: 'folder', path: join(folder, 'sub') });
    expect(await chooseDestination('sub/x.png', folder)).toEqual({ kind: 'file', path: join(folder, 'sub', 'x.png') });
  });

  it('is refused before anything is computed when the folder is not there', async () => {
    await expect(chooseDestination('none/x.png', folder)).rejects.toMatchObject({ kind: 'cannot_write', exitCode: 2 });
  });

  it('decides about the format', () => {
    const file = (path: string): Destination => ({ kind: 'file', path });
    expect(chooseFormat(undefined, file('x.webp'))).toBe('webp');
    expect(chooseFormat('jpeg', file('x.jpg'))).toBe('jpeg');
    expect(chooseFormat('webp', file('x'))).toBe('webp');
    expect(chooseFormat(undefined, file('x'))).toBeUndefined();
    expect(() => chooseFormat('png', file('x.jpg'))).toThrow('is the name of a jpeg file, but --format is png');
    expect(() => chooseFormat(undefined, file('x.gif'))).toThrow('extension of no picture or video format');
  });
});
