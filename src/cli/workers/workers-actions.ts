import type { ApiClient } from '../client/api-client.js';
import { connect } from '../client/connect.js';
import { parseJson } from '../client/json.js';
import type { WorkerJson } from '../client/wire.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import type { Terminal } from '../terminal.js';
import type { ServerOptions } from '../with-server.js';
import { workerTable } from './worker-table.js';

/** What `safelight workers` does on a server. */
export class WorkersActions {
  private constructor(
    private readonly terminal: Terminal,
    private readonly client: ApiClient,
  ) {}

  static async connect(terminal: Terminal, options: ServerOptions): Promise<WorkersActions> {
    return new WorkersActions(terminal, await connect(terminal, options));
  }

  async list(options: ServerOptions): Promise<ExitCode> {
    const text = await this.client.workersText();
    const { data } = parseJson(text) as { data: readonly WorkerJson[] };
    if (options.json) this.terminal.out(text);
    else this.terminal.out(data.length === 0 ? 'There are no workers.' : workerTable(data));
    return EXIT.done;
  }

  async drain(id: string, options: ServerOptions): Promise<ExitCode> {
    return this.tell(await this.client.tellWorker(id, 'drain'), options);
  }

  async start(id: string, options: ServerOptions): Promise<ExitCode> {
    return this.tell(await this.client.tellWorker(id, 'start'), options);
  }

  private tell(text: string, options: ServerOptions): ExitCode {
    const { id, state, running, reason } = parseJson(text) as WorkerJson;
    const work = running === 0 ? '' : `, with ${running} ${running === 1 ? 'job' : 'jobs'}`;
    const why = reason === null ? '' : ` (${reason})`;
    this.terminal.out(options.json ? text : `The worker ${id} is ${state}${work}${why}.`);
    return EXIT.done;
  }
}
