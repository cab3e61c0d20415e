import type { ApiClient } from '../client/api-client.js';
import { findServer } from '../client/find-server.js';
import { parseJson } from '../client/json.js';
import type { JobJson } from '../client/wire.js';
import { isFinalState } from '../client/wire.js';
import { CliError } from '../cli-error.js';
import { commandSettings } from '../command-settings.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import type { Terminal } from '../terminal.js';
import { jobDetails, jobTable } from './job-tables.js';

export interface JobsOptions {
  readonly server?: string;
  readonly config?: string;
  readonly json?: true;
}

export interface ListOptions extends JobsOptions {
  readonly state?: string;
  readonly limit: number;
}

/** What `safelight jobs` does on a server. */
export class JobsActions {
  private constructor(
    private readonly terminal: Terminal,
    private readonly client: ApiClient,
  ) {}

  static async connect(terminal: Terminal, options: JobsOptions): Promise<JobsActions> {
    const settings = commandSettings(terminal, options.config);
    const client = await findServer(options.server, settings);
    if (client !== null) return new JobsActions(terminal, client);
    throw new CliError({
      kind: 'no_server',
      message: `No server runs on the data folder ${settings.storage.dataDir}.`,
      nextStep: 'start one with `safelight serve`, or name one with --server.',
      exitCode: EXIT.failed,
    });
  }

  async list(options: ListOptions): Promise<ExitCode> {
    const text = await this.client.jobsText(options);
    const { data } = parseJson(text) as { data: readonly JobJson[] };
    if (options.json) this.terminal.out(text);
    else this.terminal.out(data.length === 0 ? 'There are no such jobs.' : jobTable(data, Date.now()));
    return EXIT.done;
  }

  async show(id: string, options: JobsOptions): Promise<ExitCode> {
    const text = await this.client.jobText(id);
    this.terminal.out(options.json ? text : jobDetails(parseJson(text) as JobJson));
    return EXIT.done;
  }

  async cancel(id: string, options: JobsOptions): Promise<ExitCode> {
    const before = await this.client.job(id);
    const { state } = isFinalState(before.state) ? before : await this.client.cancel(id);
    if (options.json) this.terminal.out(await this.client.jobText(id));
    else this.terminal.out(cancelText(id, before.state, state));
    return EXIT.done;
  }
}

function cancelText(id: string, before: string, after: string): string {
  if (isFinalState(before)) return `The job ${id} was ${before} already; nothing was changed.`;
  return isFinalState(after)
    ? `The job ${id} is ${after}.`
    : `The job ${id} is told to stop and ends at its next step.`;
}
