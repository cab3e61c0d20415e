import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os';

import type { Settings } from '../../config/settings.js';
import { shownSettings } from '../../config/shown-settings.js';
import type { ModelDescription } from '../../domain/generation/model-description.js';
import type { ModelFootprint } from '../../domain/placement/footprint.js';
import type { NodeState } from '../../domain/placement/node-description.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import type { DatabaseEngine } from '../../jobs/ports/job-store.port.js';
import type { NodeIdentity } from '../../jobs/ports/node-identity.js';
import { VERSION } from '../../telemetry/version.js';
import type { SystemView } from './dto/system-schemas.js';

/** What the view is made of. */
export interface SystemFacts {
  readonly identity: NodeIdentity;
  readonly state: NodeState;
  readonly now: number;
  readonly uptimeSeconds: number;
  /** Null: the database cannot be asked now. */
  readonly database: DatabaseEngine | null;
  readonly isShared: boolean;
  readonly workers: readonly WorkerDescription[];
  readonly models: readonly ModelDescription[];
  readonly footprints: readonly ModelFootprint[];
  readonly settings: Settings;
}

/** Everything that shapes a picture or a figure, for whoever compares two servers or files a report. */
export function systemView(facts: SystemFacts): SystemView {
  const { identity, state, now, uptimeSeconds, database, isShared, settings } = facts;
  const { configFile, origins } = settings.sources;
  return {
    object: 'system',
    versions: { safelight: VERSION, node: process.versions.node, v8: process.versions.v8 },
    node: {
      id: identity.id,
      name: identity.name,
      state,
      started_at: new Date(now - uptimeSeconds * 1000).toISOString(),
      uptime_seconds: Math.round(uptimeSeconds),
      system: `${type()} ${release()} ${arch()}`,
      processor: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      memory_bytes: totalmem(),
    },
    database: { kind: database?.kind ?? null, version: database?.version ?? null, shared: isShared },
    workers: facts.workers.map(workerView),
    models: facts.models.map((model) => modelView(model, facts.footprints)),
    settings: shownSettings(settings),
    settings_from: { file: configFile, origins: origins.map(({ setting, from }) => ({ setting, from })) },
  };
}

function workerView({ id, state, device, memory, versions }: WorkerDescription): SystemView['workers'][number] {
  return {
    id,
    state,
    device: device.id,
    device_kind: device.kind,
    device_name: device.name,
    memory_total_bytes: memory?.totalBytes ?? null,
    versions: versions === null ? null : { ...versions },
  };
}

function modelView(model: ModelDescription, footprints: readonly ModelFootprint[]): SystemView['models'][number] {
  const loaded = footprints.filter((footprint) => footprint.model === model.id);
  return {
    id: model.id,
    family: model.family,
    pipeline_class: model.pipelineClass,
    weights: loaded.map(({ deviceKind, dtype, weightsBytes, weightsSha256 }) => ({
      device_kind: deviceKind,
      dtype,
      bytes: weightsBytes,
      sha256: weightsSha256 ?? null,
    })),
  };
}
