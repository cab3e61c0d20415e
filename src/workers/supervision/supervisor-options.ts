import type { Logger } from 'pino';

import type { WorkersConfig } from '../../config/workers.config.js';
import type { Device } from '../../domain/placement/device.js';
import type { ModelFootprint } from '../../domain/placement/footprint.js';
import type { LoadableModel } from '../client/plan-to-wire.js';
import type { WorkerCommand } from './worker-process.js';

/** What the worker of a device is told once, for all of its lives. */
export interface SupervisorOptions {
  readonly id: string;
  readonly node: string;
  readonly device: Device;
  readonly config: WorkersConfig;
  /** Makes the command for a new incarnation, with a socket of its own: no client ever waits out another's backoff. */
  readonly command: (incarnation: number) => WorkerCommand;
  /** Models to load before the worker is called ready, in this order. */
  readonly preload: readonly LoadableModel[];
  /** Models that attempts may bring; a worker that loads one for them has to be told how long it may stay. */
  readonly served: readonly LoadableModel[];
  readonly onChange: () => void;
  /** Called with what the worker found out about a model. */
  readonly onFootprint: (footprint: Omit<ModelFootprint, 'overruns'>) => void;
  readonly log: Logger;
}
