import { CliError } from '../cli-error.js';
import type { ApiClient } from '../client/api-client.js';
import type { JobJson } from '../client/wire.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import type { Terminal } from '../terminal.js';
import { cancelAndWait, cancelText } from './cancel-job.js';
import type { Destination } from './destination.js';
import { candidates } from './destination.js';
import { failureText } from './failure-text.js';
import { followJob } from './follow-job.js';
import type { ProgressDisplay } from './progress-display.js';
import { savePicture } from './save-picture.js';
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
}

/** What is known of the server a job is sent to. */
export interface ServerFacts {
  /** Named by the person; else found in the data folder, or our own. */
  readonly isNamed: boolean;
  readonly isOwn: boolean;
}

/** A server that nobody named is on this machine: it is back within seconds, or another one takes its place. */
const LOCAL_LIMITS = { attempts: 5 };
/** Once may be an accident; a worker of our own server that died so often in a row will not come up. */
const MAX_RESTARTS = 3;

/** One job from submission to files; remembers where it is when a server is lost on the way. */
export class Generation {
  private job: JobJson | null = null;

  constructor(private readonly facts: GenerationFacts) {}

  async runOn(client: ApiClient, server: ServerFacts): Promise<ExitCode> {
    const { display, body, key, signal } = this.facts;
    try {
      signal.throwIfAborted();
      display.show({ stage: 'submitting' });
      this.job ??= await submitJob(client, body, key, signal);
      const limits = server.isNamed ? {} : LOCAL_LIMITS;
      const maxRestarts = server.isOwn ? MAX_RESTARTS : null;
      this.job = await followJob(client, this.job.id, { display, signal, limits, maxRestarts });
    } catch (error) {
      if (signal.aborted) return this.interrupted(client);
      // Left alone, the job would run unasked for as soon as some server starts on this folder.
      if (this.job !== null && error instanceof CliError && error.kind === 'worker_lost')
        await cancelAndWait(client, this.job.id);
      throw error;
    }
    return this.job.state === 'succeeded' ? this.succeeded(client, this.job) : this.failed(client, this.job);
  }

  private async succeeded(client: ApiClient, job: JobJson): Promise<ExitCode> {
    const { terminal, display, destination, json } = this.facts;
    display.show({ stage: 'saving' });
    const { prompt, seed } = job.request;
    const paths: string[] = [];
    for (const picture of job.artifacts) {
      const names = candidates(destination, picture, { prompt, seed: String(seed), count: job.artifacts.length });
      paths.push(await savePicture(client, picture, names));
    }
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

  private async interrupted(client: ApiClient): Promise<ExitCode> {
    const { terminal, display } = this.facts;
    if (this.job === null) {
      display.close();
      terminal.err('Interrupted before the job was submitted.');
      return EXIT.interrupted;
    }
    display.show({ stage: 'cancelling' });
    const told = await cancelAndWait(client, this.job.id).then(
      (state) => cancelText(this.job!.id, state),
      (error: unknown) =>
        `The job ${this.job!.id} could not be cancelled: ${error instanceof Error ? error.message : String(error)}`,
    );
    display.close();
    terminal.err(told);
    return EXIT.interrupted;
  }
}
