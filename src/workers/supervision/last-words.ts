/** Lines kept: the end of a traceback, whose last line names the error. */
const MOST_LINES = 3;
const LONGEST_LINE = 240;

/** The last complaints of a process, for whoever asks why it ended. */
export class LastWords {
  private kept: string[] = [];

  get lines(): readonly string[] {
    return this.kept;
  }

  add(line: string): void {
    const text = line.trim();
    if (text === '') return;
    this.kept = [...this.kept, text.slice(0, LONGEST_LINE)].slice(-MOST_LINES);
  }
}
