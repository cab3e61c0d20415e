import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { z } from 'zod';

import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';

/** Of the files this version writes. It reads these and all earlier ones. */
export const FORMAT = 1;

const NAME = 'jobs.ndjson';
/** While it is written; a folder with only this holds an export that was not finished. */
const UNFINISHED = 'jobs.ndjson.unfinished';

/** Bytes kept for the first line, which is known last. */
const HEADER_BYTES = 512;

const count = z.int().min(0);
const VERSIONS = z.looseObject({ safelight_export: z.int().min(1), schema: count });
const HEADER = z.object({
  /** The format. */
  safelight_export: z.int().min(1),
  /** Of the database the rows come from. */
  schema: count,
  exported_at: z.iso.datetime(),
  counts: z.object({ jobs: count, rows: count, files: count, bytes: count }),
});
export type ExportHeader = z.infer<typeof HEADER>;

/** Writes `jobs.ndjson`. It has its name only once it is whole and on the disk. */
export class ExportWriter {
  private constructor(
    private readonly folder: string,
    private readonly file: FileHandle,
  ) {}

  /** Makes the folder when it is not there. Refuses one that holds something else than an unfinished export. */
  static async create(folder: string): Promise<ExportWriter> {
    await mkdir(folder, { recursive: true }).catch((error: unknown) => {
      throw cannotWrite(`The folder ${folder} cannot be made.`, 'choose another one.', error);
    });
    const found = await readdir(folder);
    if (found.length > 0 && !found.includes(UNFINISHED))
      throw cannotWrite(`${folder} is not empty.`, 'give an empty folder, or one that is not there yet.');
    const file = await open(join(folder, UNFINISHED), 'w').catch((error: unknown) => {
      throw cannotWrite(`The folder ${folder} cannot be written.`, 'choose one that can.', error);
    });
    await file.write(`${' '.repeat(HEADER_BYTES - 1)}\n`);
    return new ExportWriter(folder, file);
  }

  async write(line: object): Promise<void> {
    await this.file.appendFile(`${JSON.stringify(line)}\n`);
  }

  async finish(header: ExportHeader): Promise<void> {
    const line = Buffer.from(JSON.stringify(header).padEnd(HEADER_BYTES - 1));
    await this.file.write(line, 0, line.length, 0);
    await this.file.sync();
    await rename(join(this.folder, UNFINISHED), join(this.folder, NAME));
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** An export that can be read. */
export interface ReadableExport {
  readonly header: ExportHeader;
  /** What stands on the lines after the first, with their numbers. */
  lines(): AsyncGenerator<{ readonly number: number; readonly value: unknown }>;
}

/** Throws a CliError when there is no finished export in the folder, or one of a newer version. */
export async function openExport(folder: string, schema: number): Promise<ReadableExport> {
  const path = await finishedIn(folder);
  for await (const { value } of linesOf(path))
    return { header: headerFrom(value, path, schema), lines: () => rest(path) };
  throw damaged(path, 1, 'it is empty');
}

export function damaged(path: string, line: number, what: string): CliError {
  return cannotRead(`${path} is damaged: line ${line}: ${what}.`, 'copy the folder again from where it was exported.');
}

async function finishedIn(folder: string): Promise<string> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw cannotRead(`There is no folder ${folder}.`, 'give the folder that `safelight export` wrote.');
  const found = await readdir(folder);
  if (found.includes(NAME)) return join(folder, NAME);
  if (found.includes(UNFINISHED))
    throw cannotRead(`The export in ${folder} was not finished.`, 'run the same `safelight export` once more.');
  throw cannotRead(`${folder} holds no export: ${NAME} is missing.`, 'give the folder that `safelight export` wrote.');
}

function headerFrom(value: unknown, path: string, schema: number): ExportHeader {
  const versions = VERSIONS.safeParse(value).data;
  if (versions === undefined) throw damaged(path, 1, 'it is not the first line of an export');
  const isNewer = versions.safelight_export > FORMAT || versions.schema > schema;
  if (isNewer) {
    throw cannotRead(
      `${path} was written by a newer Safelight: format ${versions.safelight_export}, schema ${versions.schema}; ` +
        `this one reads up to format ${FORMAT}, schema ${schema}.`,
      'import it with that version.',
    );
  }
  const header = HEADER.safeParse(value).data;
  if (header === undefined) throw damaged(path, 1, 'a field of the first line is missing or wrong');
  return header;
}

async function* rest(path: string) {
  for await (const line of linesOf(path)) if (line.number > 1) yield line;
}

async function* linesOf(path: string): AsyncGenerator<{ number: number; value: unknown }> {
  let number = 0;
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    number += 1;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw damaged(path, number, 'it is not JSON');
    }
    yield { number, value };
  }
}

function cannotRead(message: string, nextStep: string): CliError {
  return new CliError({ kind: 'cannot_read', message, nextStep, exitCode: EXIT.usage });
}

function cannotWrite(message: string, nextStep: string, cause?: unknown): CliError {
  return new CliError({ kind: 'cannot_write', message, nextStep, exitCode: EXIT.usage, cause });
}
