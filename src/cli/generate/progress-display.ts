import type { Terminal } from '../terminal.js';
import type { ProgressView } from './progress-view.js';
import { describe, renderLine } from './progress-view.js';

/** Shows a person how far it is. */
export interface ProgressDisplay {
  show(view: ProgressView): void;
  /** Leaves stderr clean for what comes next. Safe to call twice. */
  close(): void;
}

export function progressDisplay(terminal: Terminal): ProgressDisplay {
  return terminal.columns() === null ? new PlainProgress(terminal) : new LiveProgress(terminal);
}

const REDRAW_MS = 100;
const TO_LINE_START_AND_CLEAR = '\r\u001B[2K';

/** One line that is drawn over, also between two events: it tells seconds. */
export class LiveProgress implements ProgressDisplay {
  private view: ProgressView | null = null;
  private since = 0;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly terminal: Terminal,
    private readonly now: () => number = () => performance.now(),
  ) {}

  show(view: ProgressView): void {
    if (this.view === null || describe(view) !== describe(this.view)) this.since = this.now();
    this.view = view;
    this.draw();
    this.timer ??= setInterval(() => this.draw(), REDRAW_MS);
  }

  close(): void {
    if (this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
    this.terminal.draw(TO_LINE_START_AND_CLEAR);
  }

  private draw(): void {
    const columns = this.terminal.columns();
    if (this.view === null || columns === null) return;
    const line = renderLine(this.view, this.now() - this.since, { columns, unicode: this.terminal.unicode });
    this.terminal.draw(TO_LINE_START_AND_CLEAR + line);
  }
}

/** Few lines, for logs: a new one when something else happens, and at each quarter of the denoising. */
export class PlainProgress implements ProgressDisplay {
  private last = '';

  constructor(private readonly terminal: Pick<Terminal, 'err'>) {}

  show(view: ProgressView): void {
    const line = describe(view) + quarter(view);
    if (line === this.last) return;
    this.last = line;
    this.terminal.err(line);
  }

  close(): void {}
}

function quarter(view: ProgressView): string {
  if (view.stage !== 'running' || view.progress.phase !== 'denoise' || view.progress.steps === 0) return '';
  const { step, steps } = view.progress;
  const reached = Math.floor((step / steps) * 4);
  return reached === 0 ? '' : `: ${reached * 25} %`;
}
