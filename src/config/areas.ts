import { AccessConfig } from './access.config.js';
import { ArtifactsConfig } from './artifacts.config.js';
import { ComfyUiConfig } from './comfyui.config.js';
import type { Area, ConfigClass, Fields } from './config-area.js';
import { DatabaseConfig } from './database.config.js';
import { DevicesConfig } from './devices.config.js';
import { GrpcConfig } from './grpc.config.js';
import { HttpConfig } from './http.config.js';
import { InputsConfig } from './inputs.config.js';
import { LogConfig } from './log.config.js';
import { ModelsConfig } from './models.config.js';
import { NodeConfig } from './node.config.js';
import { QueueConfig } from './queue.config.js';
import { RetentionConfig } from './retention.config.js';
import { RetryConfig } from './retry.config.js';
import { ShutdownConfig } from './shutdown.config.js';
import { StorageConfig } from './storage.config.js';
import { TelemetryConfig } from './telemetry.config.js';
import { WebhooksConfig } from './webhooks.config.js';
import { WorkersConfig } from './workers.config.js';

/** All areas, in the order of the reference page. A new area is one line here. */
export const CONFIG_AREAS = {
  storage: StorageConfig,
  artifacts: ArtifactsConfig,
  database: DatabaseConfig,
  node: NodeConfig,
  http: HttpConfig,
  grpc: GrpcConfig,
  access: AccessConfig,
  queue: QueueConfig,
  retry: RetryConfig,
  workers: WorkersConfig,
  devices: DevicesConfig,
  comfyui: ComfyUiConfig,
  models: ModelsConfig,
  inputs: InputsConfig,
  webhooks: WebhooksConfig,
  retention: RetentionConfig,
  shutdown: ShutdownConfig,
  log: LogConfig,
  telemetry: TelemetryConfig,
};

export type AreaName = keyof typeof CONFIG_AREAS;
export type ConfigAreas = { readonly [A in AreaName]: InstanceType<(typeof CONFIG_AREAS)[A]> };

/** The areas as declared, without their types: for whoever handles all of them alike. */
export const DECLARED_AREAS: readonly (readonly [AreaName, Area])[] = Object.entries(CONFIG_AREAS).map(
  ([name, config]) => [name as AreaName, (config as unknown as ConfigClass<Fields>).area],
);
