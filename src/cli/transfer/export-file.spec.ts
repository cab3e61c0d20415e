import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ExportHeader } from './export-file.js';
import { ExportWriter, FORMAT, openExport } from './export-file.js';

const SCHEMA = 7;
const header = (changes: Partial<ExportHeader> = {}): ExportHeader => ({
  safelight_export: FORMAT,
  schema: SCHEMA,
  exported_at: '2026-11-21T12:00:00.000Z',
  counts: { jobs: 2, rows: 9, files: 3, bytes: 4096 },
  ...changes,
});

describe('the file of an export', () => {
  let parent: string;
  let folder: string;

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'safelight-export-'));
    folder = join(parent, 'new', 'export');
  });

  afterEach(() => rm(parent, { recursive: true }));

  async function written(first: ExportHeader, ...lines: object[]): Promise<void> {
    const writer = await ExportWriter.create(folder);
    for (const line of lines) await writer.write(line);
    await writer.finish(first);
    await writer.close();
  }

  const linesOf = async () => {
    const { lines } = await openExport(folder, SCHEMA);
    const found: unknown[] = [];
    for await (const line of lines()) found.push(line);
    return found;
  };

  it('is read as it was written, its counts on the first line', async () => {
    await written(header(), { table: 'job', row: { id: 'ä' } }, { table: 'job', row: { id: 'b' } });
    expect((await openExport(folder, SCHEMA)).header).toEqual(header());
    expect(await linesOf()).toEqual([
      { number: 2, value: { table: 'job', row: { id: 'ä' } } },
      { number: 3, value: { table: 'job', row: { id: 'b' } } },
    ]);
  });

  it('of an earlier schema is read, of a later one it is not', async () => {
    await written(header({ schema: SCHEMA - 1 }));
    expect((await openExport(folder, SCHEMA)).header.schema).toBe(SCHEMA - 1);
    await expect(openExport(folder, SCHEMA - 2)).rejects.toMatchObject({ nextStep: 'import it with that version.' });
  });

  it('of a newer format is refused, whatever else its first line holds', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'jobs.ndjson'), '{"safelight_export":2,"schema":1,"of":"later"}\n');
    await expect(openExport(folder, SCHEMA)).rejects.toThrow(
      /was written by a newer Safelight: format 2, schema 1; this one reads up to format 1, schema 7\./,
    );
  });

  it.each([
    ['', 'line 1: it is empty'],
    ['picture\n', 'line 1: it is not JSON'],
    ['{"jobs":[]}\n', 'line 1: it is not the first line of an export'],
    ['{"safelight_export":1,"schema":1}\n', 'line 1: a field of the first line is missing or wrong'],
  ])('that begins with %j is damaged', async (text, what) => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'jobs.ndjson'), text);
    await expect(openExport(folder, SCHEMA)).rejects.toThrow(what);
  });

  it('tells the line that is damaged', async () => {
    await written(header(), { table: 'job' });
    const path = join(folder, 'jobs.ndjson');
    await writeFile(path, (await readFile(path, 'utf8')).slice(0, -4));
    await expect(linesOf()).rejects.toThrow('line 2: it is not JSON');
  });

  it('that was not finished can be written again, and is not read', async () => {
    const writer = await ExportWriter.create(folder);
    await writer.write({ table: 'job' });
    await writer.close();
    await expect(openExport(folder, SCHEMA)).rejects.toMatchObject({
      message: `The export in ${folder} was not finished.`,
      nextStep: 'run the same `safelight export` once more.',
    });
    await written(header());
    expect(await linesOf()).toEqual([]);
  });

  it('is not written over a finished one, nor among other things', async () => {
    await written(header());
    await expect(ExportWriter.create(folder)).rejects.toThrow(`${folder} is not empty.`);
    await expect(ExportWriter.create(parent)).rejects.toThrow(`${parent} is not empty.`);
  });

  it.each(['nowhere', 'file'])('is not looked for in what is no folder: %s', async (name) => {
    await writeFile(join(parent, 'file'), '');
    await expect(openExport(join(parent, name), SCHEMA)).rejects.toThrow('There is no folder');
  });

  it('is missed in a folder without it', async () => {
    await expect(openExport(parent, SCHEMA)).rejects.toThrow(`${parent} holds no export: jobs.ndjson is missing.`);
  });
});
