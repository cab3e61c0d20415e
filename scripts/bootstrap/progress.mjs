// What the terminal shows: one line a step. On a terminal it is redrawn in place; elsewhere (CI
// logs) it is printed when the step starts, every half minute, and when it ends.
// Everything goes to stderr, so that `npm run generate -- --json > file` stays clean.

const REDRAW_MS = 120;
const HEARTBEAT_MS = 30_000;

/** @param {number} ms */
export const formatDuration = (ms) =>
  ms < 10_000
    ? `${(ms / 1000).toFixed(1)} s`
    : ms < 120_000
      ? `${Math.round(ms / 1000)} s`
      : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;

/** @param {number} bytes */
export const formatSize = (bytes) =>
  bytes >= 1e9
    ? `${(bytes / 1e9).toFixed(1)} GB`
    : bytes >= 1e6
      ? `${Math.round(bytes / 1e6)} MB`
      : `${Math.ceil(bytes / 1e3)} kB`;

export class Progress {
  #stream;
  #label;
  #detail = '';
  #startedAt = Date.now();
  /** @type {NodeJS.Timeout | undefined} */
  #timer;

  /**
   * @param {string} label
   * @param {NodeJS.WriteStream} [stream]
   */
  constructor(label, stream = process.stderr) {
    this.#label = label;
    this.#stream = stream;
    if (!stream.isTTY) stream.write(`${label} …\n`);
    this.resume();
  }

  /** Leaves the terminal to somebody else (a question). */
  pause() {
    clearInterval(this.#timer);
    this.#clear();
  }

  resume() {
    this.#timer = setInterval(() => this.#draw(), this.#stream.isTTY ? REDRAW_MS : HEARTBEAT_MS);
    this.#timer.unref();
  }

  /** @param {string} detail what it is busy with */
  update(detail) {
    this.#detail = detail;
  }

  /**
   * A line that stays.
   * @param {string} text
   */
  say(text) {
    this.#clear();
    this.#stream.write(`${text}\n`);
  }

  /** @param {string} [summary] */
  done(summary) {
    this.#end('✓', summary);
  }

  failed() {
    this.#end('✗');
  }

  #elapsed() {
    return formatDuration(Date.now() - this.#startedAt);
  }

  #draw() {
    const text = `  ${this.#label}: ${this.#elapsed()}${this.#detail && `, ${this.#detail}`}`;
    if (this.#stream.isTTY) {
      this.#clear();
      this.#stream.write(text.slice(0, (this.#stream.columns ?? 80) - 1));
    } else {
      this.#stream.write(`${text}\n`);
    }
  }

  #clear() {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[2K');
  }

  /**
   * @param {string} mark
   * @param {string} [summary]
   */
  #end(mark, summary) {
    clearInterval(this.#timer);
    this.#clear();
    this.#stream.write(`${mark} ${this.#label} (${this.#elapsed()}${summary ? `, ${summary}` : ''})\n`);
  }
}
