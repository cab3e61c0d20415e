import type { Settings } from '../../config/settings.js';
import { commandSettings } from '../command-settings.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import { formatBytes } from '../format-duration.js';
import { Interruption } from '../interruption.js';
import type { Terminal } from '../terminal.js';
import type { ModelEvent, ModelFacts } from './model-event.js';
import { modelCheck, modelTable } from './model-tables.js';
import { modelEvents } from './models-process.js';
import { PullDisplay } from './pull-display.js';
import type { ServedModel } from './served-models.js';
import { chooseModels, servedModels } from './served-models.js';

export interface ModelsOptions {
  readonly config?: string;
  readonly json?: true;
}

export interface PullOptions extends ModelsOptions {
  readonly variant?: string;
}

/** What `safelight models` does: the worker's Python looks and fetches, this tells. */
export class ModelsActions {
  private constructor(
    private readonly terminal: Terminal,
    private readonly settings: Settings,
  ) {}

  static open(terminal: Terminal, options: ModelsOptions): ModelsActions {
    return new ModelsActions(terminal, commandSettings(terminal, options.config));
  }

  async list(options: ModelsOptions): Promise<ExitCode> {
    const models = servedModels(this.settings);
    using interruption = new Interruption();
    const found = await this.look('list', models, options, interruption.signal);
    if (interruption.signal.aborted) return EXIT.interrupted;
    if (!options.json) this.terminal.out(modelTable(models, found));
    return EXIT.done;
  }

  async check(ids: readonly string[], options: ModelsOptions): Promise<ExitCode> {
    const models = chooseModels(servedModels(this.settings), ids);
    using interruption = new Interruption();
    const found = await this.look('check', models, options, interruption.signal, (facts) => {
      if (!options.json) this.terminal.out(modelCheck(facts));
    });
    if (interruption.signal.aborted) return EXIT.interrupted;
    return found.every(({ problems }) => problems.length === 0) ? EXIT.done : EXIT.failed;
  }

  async pull(ids: readonly string[], options: PullOptions): Promise<ExitCode> {
    using interruption = new Interruption();
    const variant = options.variant === undefined ? [] : ['--variant', options.variant];
    const call = { args: ['pull', ...variant, '--', ...ids], input: null, signal: interruption.signal };
    let fetched = 0;
    let display: PullDisplay | null = null;
    try {
      for await (const event of modelEvents(this.settings, call)) {
        if (event.event === 'progress') (display ??= new PullDisplay(this.terminal, event.source)).show(event);
        else {
          display?.close();
          display = null;
          if (event.event === 'pulled') fetched += 1;
          this.tellPulled(event);
        }
        if (options.json) this.terminal.out(JSON.stringify(event));
        else if (event.event === 'pulled') this.terminal.out(event.path);
      }
    } finally {
      display?.close();
    }
    if (interruption.signal.aborted) {
      this.terminal.err('Interrupted: files that are complete are kept; the same command fetches the others.');
      return EXIT.interrupted;
    }
    return fetched === ids.length ? EXIT.done : EXIT.failed;
  }

  private tellPulled(event: ModelEvent): void {
    if (event.event === 'pulled')
      this.terminal.err(`${event.source} is there: ${event.files} files, ${formatBytes(event.bytes)}.`);
    else if (event.event === 'error') this.terminal.err(`${event.message}\nNext: ${event.next}`);
  }

  private async look(
    what: 'list' | 'check',
    models: readonly ServedModel[],
    options: ModelsOptions,
    signal: AbortSignal,
    onModel: (facts: ModelFacts) => void = () => undefined,
  ): Promise<ModelFacts[]> {
    const found: ModelFacts[] = [];
    for await (const event of modelEvents(this.settings, { args: [what], input: models, signal })) {
      if (event.event !== 'model') continue;
      found.push(event);
      if (options.json) this.terminal.out(JSON.stringify(event));
      onModel(event);
    }
    return found;
  }
}
