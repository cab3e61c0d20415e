import { CliError } from '../cli-error.js';
import type { ApiClient } from '../client/api-client.js';
import type { JobJson } from '../client/wire.js';
import { isFinalState } from '../client/wire.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import type { Terminal } from '../terminal.js';
import { cancelAndWait, cancelText, notCancelledText } from './cancel-job.js';
import type { Destination } from './destination.js';
import { candidates } from './destination.js';
import { failureText } from './failure-text.js';
import { followJob } from './follow-job.js';
import type { ProgressDisplay } from './progress-display.js';
import { savePicture } from './save-picture.js';
import { isServerLost } from './server-lost.js';
import { submitJob } from './submit-job.js';
import { summaryLines } from './summary.js';

interface GenerationFacts {
  readonly terminal: Terminal;
  readonly display: ProgressDisplay;
  readonly destination: Destination;
  readonly body: string;
  /** Idempotency key: the same job, whichever server of the data folder is asked. */
  readonly key: string;
  readonly json: boolean;
  readonly signal: AbortSignal;
  /** Address of the server, when the person named it; null: any of the data folder. */
  readonly server: string | null;
  /** How long a server that was named may be away. */
  readonly awayLimitMs: number;
}

/** Once may be an accident; a worker of our own server that died so often in a row will not come up. */
const MAX_RESTARTS = 3;

/** One job from submission to files; remembers where it is when a server is lost on the way. */
export class Generation {
  private job: JobJson | null = null;
  /** Paths of the pictures that are there already, by index: a server may be lost between two of them. */
  private readonly saved = new Map<number, string>();

  /** When a server last brought the job on, or showed that it has it; null: none was ever reached. */
  contactAt: number | null = null;

  constructor(private readonly facts: GenerationFacts) {}

  get jobId(): string | null {
    return this.job?.id ?? null;
  }

  async runOn(client: ApiClient, { isOwn }: { isOwn: boolean }): Promise<ExitCode> {
    const { signal } = this.facts;
    this.contactAt ??= performance.now();
    try {
      signal.throwIfAborted();
      this.job ??= await this.submit(client);
      if (!isFinalState(this.job.state)) this.job = await this.follow(client, this.job.id, isOwn);
    } catch (error) {
      if (signal.aborted) return this.interrupted(client, error);
      // Left alone, the job would run unasked for as soon as some server starts on this folder.
      if (this.job !== null && error instanceof CliError && error.kind === 'worker_lost')
        await cancelAndWait(client, this.job.id);
      throw error;
    }
    return this.job.state === 'succeeded' ? this.succeeded(client, this.job) : this.failed(client, this.job);
  }

  private async submit(client: ApiClient): Promise<JobJson> {
    const { display, body, key, signal } = this.facts;
    display.show({ stage: 'submitting' });
    const job = await submitJob(client, body, key, signal);
    this.noteContact();
    return job;
  }

  private follow(client: ApiClient, jobId: string, isOwn: boolean): Promise<JobJson> {
    const { display, signal, server } = this.facts;
    const awayLimitMs = server === null ? null : this.facts.awayLimitMs;
    const maxRestarts = isOwn ? MAX_RESTARTS : null;
    return followJob(client, jobId, { display, signal, maxRestarts, awayLimitMs, onLife: () => this.noteContact() });
  }

  private noteContact(): void {
    this.contactAt = performance.now();
  }

  private async succeeded(client: ApiClient, job: JobJson): Promise<ExitCode> {
    const { terminal, display, destination, json } = this.facts;
    display.show({ stage: 'saving' });
    const { prompt, seed } = job.request;
    for (const picture of job.artifacts) {
      if (this.saved.has(picture.index)) continue;
      const names = candidates(destination, picture, { prompt, seed: String(seed), count: job.artifacts.length });
      this.saved.set(picture.index, await savePicture(client, picture, names));
      this.noteContact();
    }
    const paths = [...this.saved.values()];
    const answer = json ? await client.jobText(job.id) : null;
    display.close();
    if (answer === null) {
      for (const line of [...summaryLines(job), ...paths]) terminal.out(line);
    } else {
      for (const path of paths) terminal.err(path);
      terminal.out(answer);
    }
    return EXIT.done;
  }

  private async failed(client: ApiClient, job: JobJson): Promise<ExitCode> {
    const { terminal, display, json } = this.facts;
    const answer = json ? await client.jobText(job.id) : null;
    display.close();
    if (answer !== null) terminal.out(answer);
    terminal.err(failureText(job));
    return EXIT.failed;
  }

  /** Cancels the job, if there is one. `error` is what the interruption came upon. */
  async interrupted(client: ApiClient, error: unknown): Promise<ExitCode> {
    const { terminal, display, server } = this.facts;
    const where = server === null ? '' : ` --server ${server}`;
    const told = await this.cancelled(client, error, where);
    display.close();
    terminal.err(told);
    return EXIT.interrupted;
  }

  private async cancelled(client: ApiClient, error: unknown, where: string): Promise<string> {
    const { jobId } = this;
    if (jobId !== null) {
      this.facts.display.show({ stage: 'cancelling' });
      return cancelAndWait(client, jobId).then(
        (state) => cancelText(jobId, state, where),
        (reason: unknown) => notCancelledText(jobId, reason, where),
      );
    }
    if (!isServerLost(error)) return 'Interrupted before the job was submitted.';
    return `Interrupted; the server did not answer and may have taken the job.\nNext: look for it with: safelight jobs${where}`;
  }
}
