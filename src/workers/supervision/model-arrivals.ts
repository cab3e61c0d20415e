import type { Logger } from 'pino';

import type { ModelFootprint } from '../../domain/placement/footprint.js';
import type { LoadableModel } from '../client/plan-to-wire.js';
import type { WorkerClient } from '../client/worker-client.js';
import { isGone } from '../client/worker-client.js';

export interface ArrivalsOptions {
  readonly client: WorkerClient;
  /** Models the server serves. */
  readonly served: readonly LoadableModel[];
  /** Milliseconds an answer may take: it waits for the engine's round. */
  readonly timeoutMs: number;
  /** Called with what the worker found out about a model. */
  readonly onFootprint: (footprint: Omit<ModelFootprint, 'overruns'>) => void;
  readonly log: Logger;
}

/** Models on their way to one life of a worker: by our wish, or by that of an attempt. */
export class ModelArrivals {
  private present: readonly string[] = [];

  constructor(private readonly options: ArrivalsOptions) {}

  /** Brings a model onto the device. False, and a line in the log, when it cannot be: its jobs fail then, not the worker. */
  async load(wanted: LoadableModel): Promise<boolean> {
    const { client, timeoutMs, onFootprint, log } = this.options;
    try {
      const footprint = await client.loadModel(wanted, { timeoutMs, onlyIfLoaded: false });
      this.present = [...this.present, wanted.id];
      log.info({ footprint }, 'model is loaded');
      if (footprint !== null) onFootprint(footprint);
      return true;
    } catch (error) {
      log.error({ err: error, model: wanted.id }, 'model could not be loaded; jobs that need it will say so');
      return false;
    }
  }

  /** Tells how long models may stay that were not there before, and hears what they take. Nobody waits for the answers. */
  see(models: readonly string[]): void {
    const before = this.present;
    this.present = models;
    for (const model of this.options.served) {
      if (models.includes(model.id) && !before.includes(model.id)) void this.meet(model);
    }
  }

  private async meet(model: LoadableModel): Promise<void> {
    const { client, timeoutMs, onFootprint, log } = this.options;
    try {
      const footprint = await client.loadModel(model, { timeoutMs, onlyIfLoaded: true });
      if (footprint !== null) onFootprint(footprint);
    } catch (error) {
      // It left meanwhile, or the worker did: the next look tells.
      if (isGone(error)) return;
      log.warn({ err: error, model: model.id }, 'the worker could not be asked about a model that came');
    }
  }
}
