import { formatBytes } from '../format-duration.js';
import type { Terminal } from '../terminal.js';
import type { PullProgress } from './model-event.js';

const BAR_CELLS = 24;
const TO_LINE_START_AND_CLEAR = '\r\u001B[2K';

/** Shows how far a download is: a bar that is drawn over on a terminal, else a line for every tenth. */
export class PullDisplay {
  private lastTenth = -1;
  private isDrawn = false;

  constructor(
    private readonly terminal: Terminal,
    private readonly source: string,
  ) {}

  show(progress: PullProgress): void {
    const columns = this.terminal.columns();
    if (columns === null) {
      const tenth = Math.floor(shareOf(progress) * 10);
      if (tenth === this.lastTenth) return;
      this.lastTenth = tenth;
      this.terminal.err(`fetching ${this.source}: ${tenth * 10} %, ${amounts(progress)}`);
    } else {
      this.terminal.draw(TO_LINE_START_AND_CLEAR + barLine(progress, { columns, unicode: this.terminal.unicode }));
      this.isDrawn = true;
    }
  }

  /** Leaves stderr clean for what comes next. Safe to call twice. */
  close(): void {
    if (this.isDrawn) this.terminal.draw(TO_LINE_START_AND_CLEAR);
    this.isDrawn = false;
  }
}

/** Bar, percent, amounts and the file, cut to the width: a line that wraps cannot be drawn over. */
export function barLine(progress: PullProgress, terminal: { columns: number; unicode: boolean }): string {
  const full = Math.round(shareOf(progress) * BAR_CELLS);
  const [on, off] = terminal.unicode ? ['█', '░'] : ['#', '-'];
  const percent = `${Math.floor(shareOf(progress) * 100)} %`.padStart(5);
  const line = `${on.repeat(full)}${off.repeat(BAR_CELLS - full)}  ${percent}  ${amounts(progress)}  ${progress.file}`;
  return line.length < terminal.columns ? line : `${line.slice(0, Math.max(0, terminal.columns - 2))}…`;
}

function amounts({ done, total }: PullProgress): string {
  return `${formatBytes(done)} of ${formatBytes(total)}`;
}

function shareOf({ done, total }: PullProgress): number {
  return total === 0 ? 1 : Math.min(1, done / total);
}
