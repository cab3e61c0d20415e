import { formatBytes } from '../format-duration.js';
import type { Terminal } from '../terminal.js';

const TO_LINE_START_AND_CLEAR = '\r\u001B[2K';

/** Milliseconds between two drawings. */
const DRAW_MS = 100;

/** Jobs between two lines where nothing can be drawn over. */
const JOBS_A_LINE = 1000;

export interface TransferProgress {
  readonly jobs: number;
  /** Null while it is not known. */
  readonly ofJobs: number | null;
  readonly files: number;
  readonly bytes: number;
}

/** Says on stderr how far a transfer is. */
export class TransferDisplay {
  private drawnAt = -Infinity;
  private told = 0;
  private isDrawn = false;

  constructor(
    private readonly terminal: Terminal,
    private readonly doing: string,
  ) {}

  show(progress: TransferProgress): void {
    const columns = this.terminal.columns();
    if (columns === null) {
      if (progress.jobs < this.told + JOBS_A_LINE) return;
      this.told = progress.jobs;
      this.terminal.err(this.line(progress));
    } else if (performance.now() - this.drawnAt > DRAW_MS) {
      this.drawnAt = performance.now();
      this.terminal.draw(TO_LINE_START_AND_CLEAR + this.line(progress).slice(0, columns - 1));
      this.isDrawn = true;
    }
  }

  /** Leaves stderr clean for what comes next. Safe to call twice. */
  close(): void {
    if (this.isDrawn) this.terminal.draw(TO_LINE_START_AND_CLEAR);
    this.isDrawn = false;
  }

  private line({ jobs, ofJobs, files, bytes }: TransferProgress): string {
    const of = ofJobs === null ? '' : ` of ${ofJobs}`;
    return `${this.doing}: ${jobs}${of} jobs, ${files} files, ${formatBytes(bytes)}`;
  }
}
