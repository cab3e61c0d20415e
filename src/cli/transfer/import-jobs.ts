import type { ArtifactTransfer } from '../../jobs/ports/artifact-transfer.port.js';
import type { ReadableExport } from './export-file.js';
import { damaged, openExport } from './export-file.js';
import { importFiles } from './job-files.js';
import type { TransferProgress } from './transfer-display.js';
import type { TransferLine, TransferRow } from './transfer-rows.js';
import { jobOf, lineFrom } from './transfer-rows.js';

/** Where jobs go. */
export interface ImportTarget {
  /** Of the database. */
  readonly schema: number;
  /** Writes the rows of jobs that are not there yet, those of a job together; running jobs come in as queued. */
  importRows(rows: AsyncIterable<TransferRow>): Promise<void>;
  has(jobId: string): Promise<boolean>;
  readonly files: ArtifactTransfer;
}

export interface ImportHooks {
  /** Ends the import between two jobs; it may be repeated. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: TransferProgress) => void;
}

export interface ImportSummary {
  readonly jobs: number;
  /** Jobs that were there already. */
  readonly skipped: number;
  readonly files: number;
  readonly bytes: number;
}

/**
 * Puts an exported folder into a database and a store of artifacts. A job's files are there before its row, so that a
 * server that runs meanwhile never misses one. Rejects with the signal's reason when it aborts.
 */
export async function importJobs(folder: string, target: ImportTarget, hooks: ImportHooks): Promise<ImportSummary> {
  const source = await openExport(folder, target.schema);
  const { counts } = source.header;
  const summary = { jobs: 0, skipped: 0, files: 0, bytes: 0 };
  let rows = 0;

  async function* prepared(): AsyncGenerator<TransferRow> {
    for await (const { files, ...row } of linesOf(source, folder)) {
      hooks.signal.throwIfAborted();
      rows += 1;
      const job = jobOf(row);
      if (job !== null && (await target.has(job.id))) {
        summary.skipped += 1;
      } else if (job !== null) {
        const all = files ?? [];
        await importFiles(all, folder, target.files);
        summary.jobs += 1;
        summary.files += all.length;
        summary.bytes += all.reduce((sum, { bytes }) => sum + bytes, 0);
      }
      if (job !== null) {
        const { files: filesDone, bytes } = summary;
        const jobs = summary.jobs + summary.skipped;
        hooks.onProgress({ jobs, ofJobs: counts.jobs, files: filesDone, bytes });
      }
      yield row;
    }
    if (rows !== counts.rows) throw damaged(folder, rows + 1, `${counts.rows} rows were expected, there are ${rows}`);
  }

  await target.importRows(prepared());
  return summary;
}

async function* linesOf(source: ReadableExport, folder: string): AsyncGenerator<TransferLine> {
  for await (const { number, value } of source.lines()) {
    const line = lineFrom(value);
    if (line === null) throw damaged(folder, number, 'it is no row of an export');
    yield line;
  }
}
