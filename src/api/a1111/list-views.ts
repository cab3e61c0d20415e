import type { ModelDescription } from '../../domain/generation/model-description.js';
import type { ModelFootprint } from '../../domain/placement/footprint.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import { shortHash } from './model-names.js';
import { samplersOf, SCHEDULES } from './samplers.js';

/** By which the client webuiapi knows that there are ControlNets. */
const CONTROLNET_SCRIPTS = ['controlnet', 'controlnet m2m'];

/** Where files lie is nobody's business but the operator's: a model's file name is its id. */
export function modelsView(models: readonly ModelDescription[], footprints: readonly ModelFootprint[]): object[] {
  return models.map(({ id }) => {
    const sha256 = footprints.find(({ model, weightsSha256 }) => model === id && weightsSha256)?.weightsSha256 ?? null;
    return { title: id, model_name: id, hash: shortHash(sha256), sha256, filename: id, config: null };
  });
}

export function samplersView(models: readonly ModelDescription[]): object[] {
  return samplersOf(models).map(({ name, aliases, automatic }) => ({
    name,
    aliases,
    options: { scheduler: automatic },
  }));
}

export function schedulesView(): object[] {
  return SCHEDULES.map(({ name, label }) => ({ name, label, aliases: null, default_rho: -1, need_inner_model: false }));
}

export function lorasView(models: readonly ModelDescription[]): object[] {
  const ids = new Set(models.flatMap(({ loras }) => loras.map(({ id }) => id)));
  return [...ids].map((id) => ({ name: id, alias: id, path: '', metadata: {} }));
}

export function controlNetsView(models: readonly ModelDescription[]): string[] {
  return [...new Set(models.flatMap(({ controlnets }) => controlnets.map(({ id }) => id)))];
}

export function scriptsView(models: readonly ModelDescription[]): { txt2img: string[]; img2img: string[] } {
  const scripts = controlNetsView(models).length > 0 ? CONTROLNET_SCRIPTS : [];
  return { txt2img: [...scripts], img2img: [...scripts] };
}

/** `ram` is the machine's, `cuda` the first CUDA device's; what a worker does not tell is left at 0. */
export function memoryView(ram: { free: number; total: number }, workers: readonly WorkerDescription[]): object {
  const memory = workers.find(({ device }) => device.kind === 'cuda')?.memory ?? null;
  const pair = (current: number) => ({ current, peak: current });
  return {
    ram: { ...ram, used: ram.total - ram.free },
    cuda:
      memory === null
        ? { error: 'unavailable' }
        : {
            system: { free: memory.freeBytes, used: memory.totalBytes - memory.freeBytes, total: memory.totalBytes },
            active: pair(memory.allocatedBytes),
            allocated: pair(memory.allocatedBytes),
            reserved: pair(memory.reservedBytes),
            inactive: pair(0),
            events: { retries: 0, oom: 0 },
          },
  };
}
