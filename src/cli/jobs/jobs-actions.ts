import type { ApiClient } from '../client/api-client.js';
import { connect } from '../client/connect.js';
import { parseJson } from '../client/json.js';
import type { DebugJson, JobJson } from '../client/wire.js';
import { isFinalState } from '../client/wire.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import type { Terminal } from '../terminal.js';
import type { ServerOptions } from '../with-server.js';
import { debugText } from './debug-text.js';
import { jobDetails, jobTable } from './job-tables.js';

export interface ListOptions extends ServerOptions {
  readonly state?: string;
  readonly limit: number;
}

/** What `safelight jobs` does on a server. */
export class JobsActions {
  private constructor(
    private readonly terminal: Terminal,
    private readonly client: ApiClient,
  ) {}

  static async connect(terminal: Terminal, options: ServerOptions): Promise<JobsActions> {
    return new JobsActions(terminal, await connect(terminal, options));
  }

  async list(options: ListOptions): Promise<ExitCode> {
    const text = await this.client.jobsText(options);
    const { data } = parseJson(text) as { data: readonly JobJson[] };
    if (options.json) this.terminal.out(text);
    else this.terminal.out(data.length === 0 ? 'There are no such jobs.' : jobTable(data, Date.now()));
    return EXIT.done;
  }

  async show(id: string, options: ServerOptions): Promise<ExitCode> {
    const text = await this.client.jobText(id);
    this.terminal.out(options.json ? text : jobDetails(parseJson(text) as JobJson));
    return EXIT.done;
  }

  async debug(id: string, options: ServerOptions): Promise<ExitCode> {
    const text = await this.client.debugText(id);
    this.terminal.out(options.json ? text : debugText(parseJson(text) as DebugJson));
    return EXIT.done;
  }

  async cancel(id: string, options: ServerOptions): Promise<ExitCode> {
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
