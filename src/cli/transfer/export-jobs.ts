import type { ArtifactTransfer } from '../../jobs/ports/artifact-transfer.port.js';
import { ExportWriter, FORMAT } from './export-file.js';
import { exportFiles } from './job-files.js';
import type { TransferProgress } from './transfer-display.js';
import type { TransferRow } from './transfer-rows.js';
import { jobOf } from './transfer-rows.js';

/** Where jobs come from. */
export interface ExportSource {
  /** Of the database. */
  readonly schema: number;
  /** Rows of all tables, a row after those it refers to. */
  rows(): AsyncIterable<TransferRow>;
  readonly files: ArtifactTransfer;
}

export interface ExportHooks {
  /** Ends the export between two rows; what is written so far is no export. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: TransferProgress) => void;
}

export interface ExportSummary {
  readonly jobs: number;
  readonly files: number;
  readonly bytes: number;
  /** Keys of pictures that rows name and the store did not have whole. */
  readonly left: readonly string[];
}

/** Copies all jobs to a folder. Rejects with the signal's reason when it aborts. */
export async function exportJobs(source: ExportSource, folder: string, hooks: ExportHooks): Promise<ExportSummary> {
  const counts = { jobs: 0, rows: 0, files: 0, bytes: 0 };
  const left: string[] = [];
  const writer = await ExportWriter.create(folder);
  try {
    for await (const row of source.rows()) {
      hooks.signal.throwIfAborted();
      counts.rows += 1;
      const job = jobOf(row);
      if (job === null) {
        await writer.write(row);
        continue;
      }
      const exported = await exportFiles(job.id, job.pictures, source.files, folder);
      await writer.write({ ...row, files: exported.files });
      left.push(...exported.left);
      counts.jobs += 1;
      counts.files += exported.files.length;
      counts.bytes += exported.files.reduce((sum, { bytes }) => sum + bytes, 0);
      hooks.onProgress({ ...counts, ofJobs: null });
    }
    const exportedAt = new Date().toISOString();
    await writer.finish({ safelight_export: FORMAT, schema: source.schema, exported_at: exportedAt, counts });
  } finally {
    await writer.close();
  }
  return { jobs: counts.jobs, files: counts.files, bytes: counts.bytes, left };
}
