import { z } from 'zod';

import type { Artifact } from '../../domain/job/job.js';
import type { TransferFile } from './job-files.js';

/** A row as it stands in its table, with the names of its columns. */
export interface TransferRow {
  readonly table: string;
  readonly row: Readonly<Record<string, string | number | null>>;
}

/** A line of an export: a row and, for a job, the files that belong to it. */
export interface TransferLine extends TransferRow {
  readonly files?: readonly TransferFile[];
}

const LINE = z.object({
  table: z.string().min(1),
  row: z.record(z.string(), z.union([z.string(), z.number(), z.null()])),
  files: z
    .array(
      z.object({
        // One file of one job; what could lead out of the folder is no key.
        key: z.string().regex(/^[\w-]+(\/[A-Za-z0-9][\w.-]*){2}$/),
        bytes: z.int().min(0),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
      }),
    )
    .optional(),
});

/** Null: it is no line of an export. */
export function lineFrom(value: unknown): TransferLine | null {
  const line = LINE.safeParse(value).data;
  if (line === undefined) return null;
  const { files, ...row } = line;
  return files === undefined ? row : { ...row, files };
}

/** A job's id and the pictures it names; null for rows of other tables. */
export function jobOf({ table, row }: TransferRow): { id: string; pictures: readonly Artifact[] } | null {
  if (table !== 'job' || typeof row['id'] !== 'string') return null;
  const { artifacts } = row;
  return { id: row['id'], pictures: typeof artifacts === 'string' ? (JSON.parse(artifacts) as Artifact[]) : [] };
}
