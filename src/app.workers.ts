import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Logger } from 'pino';

import { ComfyUiPool } from './comfyui/comfyui-pool.js';
import { COMFYUI_DEVICE_ID } from './comfyui/comfyui-worker.js';
import type { ModelEntry } from './config/model-entry.js';
import { EMBEDDED_MODEL_ID } from './config/models.config.js';
import type { Settings } from './config/settings.js';
import { DeviceLeasePool } from './devices/device-lease-pool.js';
import type { Device } from './domain/placement/device.js';
import type { ModelCatalog } from './jobs/ports/model-catalog.port.js';
import { FolderModelCatalog } from './models/folder-model-catalog.js';
import { UnusableModelError } from './models/model-folder.js';
import { CombinedWorkerPool } from './workers/combined-worker-pool.js';
import { SupervisedWorkerPool } from './workers/supervised-worker-pool.js';

/** Folder of the Python worker, beside the compiled program. */
const WORKER_DIR = fileURLToPath(new URL('../python-worker', import.meta.url));

interface Node {
  readonly settings: Settings;
  readonly models: ModelCatalog;
  readonly devices: readonly Device[];
  readonly log: Logger;
}

/** The models this node serves. Throws {@link UnusableModelError}. */
export function catalogOf(settings: Settings): ModelCatalog {
  return new FolderModelCatalog(modelEntries(settings));
}

/** All that runs attempts on this node: its own workers, and the ComfyUI server the settings name. */
export function workerPoolOf({ settings, models, devices, log }: Node): CombinedWorkerPool {
  const local = models.list().filter(({ isLocal }) => isLocal);
  const workers = new SupervisedWorkerPool({
    node: settings.node.name,
    // A worker that is given nothing to do would only take memory.
    devices: local.length > 0 ? devices : [],
    config: settings.workers,
    workerDir: WORKER_DIR,
    dataDir: settings.storage.dataDir,
    served: local,
    preload: local.filter(({ isDefault, pinned }) => pinned || (isDefault && settings.workers.preload)),
    logLevel: settings.log.level,
    promptsInLog: settings.log.prompts,
    log,
  });
  return new CombinedWorkerPool([workers, ...comfyUiPools(settings, models, log)]);
}

/** How many attempts each device takes at a time. */
export function leasesOf({ workers, comfyui }: Settings): DeviceLeasePool {
  return new DeviceLeasePool(workers, new Map([[COMFYUI_DEVICE_ID, comfyui.concurrency]]));
}

/** None, where no server is named or it has nothing to serve. */
function comfyUiPools({ comfyui: config, node }: Settings, models: ModelCatalog, log: Logger): readonly ComfyUiPool[] {
  if (config.url === null || models.list().every(({ comfyui }) => comfyui === null)) return [];
  const { url } = config;
  const find = (id: string) => models.find(id);
  return [new ComfyUiPool({ url, node: node.name, config, find, log: log.child({ worker: 'comfyui-0' }) })];
}

/** The models to serve: those listed, and the one that comes with the program. To everything else it is one of them. */
function modelEntries({ models, comfyui }: Settings) {
  const entries = comfyui.url === null ? models.entries.map(withoutComfyUi) : models.entries;
  if (!models.embedded) return entries;
  const source = join(WORKER_DIR, 'models', EMBEDDED_MODEL_ID);
  return [...entries, { id: EMBEDDED_MODEL_ID, source, family: null, dtype: null, variant: null, default: false }];
}

/** Throws when nothing of the model is left. */
function withoutComfyUi(entry: ModelEntry): ModelEntry {
  if (entry.source === null) throw new UnusableModelError(entry.id, 'is on ComfyUI only, and comfyui.url is not set');
  return { ...entry, comfyui: null };
}
