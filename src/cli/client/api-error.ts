import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';
import type { ProblemJson } from './wire.js';

/** An answer that is no success. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: ProblemJson | null,
    /** Seconds the server asks to wait before the next try. */
    readonly retryAfter: number | null,
  ) {
    super(problem?.detail ?? problem?.title ?? `the server answered ${status}`);
    this.name = 'ApiError';
  }

  /** Whether the same request may succeed a little later. */
  get isPassing(): boolean {
    return this.status === 429 || this.status >= 500;
  }

  /** As the end of a command. */
  toCliError(): CliError {
    const isRefused = this.status >= 400 && this.status < 500 && this.status !== 429;
    return new CliError({
      kind: this.status === 404 ? 'not_found' : isRefused ? 'refused' : 'unexpected_answer',
      message: [this.headline(), ...this.fields()].join('\n'),
      nextStep: this.nextStep(),
      exitCode: isRefused && this.status !== 404 ? EXIT.usage : EXIT.failed,
      cause: this,
    });
  }

  private headline(): string {
    if (this.problem === null) return `The server answered with status ${this.status}.`;
    const { title, detail } = this.problem;
    return detail && detail !== title && this.fields().length === 0 ? `${title}: ${detail}.` : `${title}.`;
  }

  private fields(): string[] {
    return (this.problem?.errors ?? []).map(({ field, message, value, limit }) => {
      const given = value === undefined || value === null ? '' : ` is ${JSON.stringify(value)}:`;
      return `  ${field}${given} ${message}${limitText(limit, message)}`;
    });
  }

  private nextStep(): string {
    if (this.status === 401) return 'put a key of that server into SAFELIGHT_API_KEY.';
    if (this.status === 403) return 'use a key with another role in SAFELIGHT_API_KEY.';
    if (this.problem?.code === 'worker_not_found')
      return 'see them all with `safelight workers`; that of another node is told there, with --server.';
    if (this.fields().length > 0) return 'change the values above; nothing was enqueued.';
    if (this.retryAfter !== null) return `try again in ${this.retryAfter} s.`;
    if (this.status === 404) return 'see what there is with `safelight jobs`.';
    return this.status >= 500 ? 'look into the log of the server.' : 'change the request.';
  }
}

/** The limit in words; nothing when it is not there or the message says it already. */
function limitText(limit: unknown, message: string): string {
  if (limit === null || limit === undefined) return '';
  const values = typeof limit === 'object' ? Object.values(limit).map(wordOf) : [wordOf(limit)];
  return values.every((value) => message.includes(value)) ? '' : ` (allowed: ${limitWords(limit)})`;
}

function limitWords(limit: unknown): string {
  if (Array.isArray(limit)) return `one of ${limit.map(wordOf).join(', ')}`;
  if (typeof limit !== 'object' || limit === null) return wordOf(limit);
  return Object.entries(limit)
    .map(([name, value]) => `${name.replaceAll('_', ' ')} ${wordOf(value)}`)
    .join(', ');
}

function wordOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
