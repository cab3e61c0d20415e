import type { ModelAddOn } from '../domain/generation/model-description.js';
import type { PipelineFamily } from '../domain/generation/pipeline-family.js';
import type { Task } from './tasks.js';

interface Facts {
  readonly tasks: readonly Task[];
  readonly family: PipelineFamily;
  readonly loras: readonly ModelAddOn[];
  readonly controlnets: readonly ModelAddOn[];
  readonly ipAdapters: readonly ModelAddOn[];
}

/** Families whose adapters follow a ControlNet. */
export const WITH_CONTROLNETS: readonly PipelineFamily[] = ['sd15', 'sdxl'];

/** Families that draw without a UNet, the only thing IP-Adapters are attached to. */
export const WITHOUT_IP_ADAPTERS: readonly PipelineFamily[] = ['sd3', 'flux'];

/** What a model can do: by itself, and with what was put beside it. */
export function capabilitiesOf({ tasks, family, loras, controlnets, ipAdapters }: Facts): string[] {
  return [
    ...tasks,
    ...(WITH_CONTROLNETS.includes(family) && controlnets.length > 0 ? ['controlnet'] : []),
    ...(loras.length > 0 ? ['lora'] : []),
    ...(ipAdapters.length > 0 ? ['ip_adapter'] : []),
  ];
}
