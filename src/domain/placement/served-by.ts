import { inexpressibleInComfyUi } from '../generation/comfyui-request.js';
import type { GenerationRequest } from '../generation/generation-request.js';
import type { ModelDescription } from '../generation/model-description.js';
import type { Device } from './device.js';

type Whereabouts = Pick<ModelDescription, 'isLocal' | 'comfyui'>;

/** Whether what runs on a device can serve a model, as far as the settings tell. */
export function isServedBy({ isLocal, comfyui }: Whereabouts, { kind }: Pick<Device, 'kind'>): boolean {
  return kind === 'remote' ? comfyui !== null : isLocal;
}

/** Whether it is where the model's jobs go first: workers come before other servers. */
export function isFirstChoice(model: Whereabouts, device: Pick<Device, 'kind'>): boolean {
  return isServedBy(model, device) && model.isLocal === (device.kind !== 'remote');
}

/** Whether it can do all that a request asks of a model it serves. */
export function canRun(
  request: GenerationRequest,
  model: Pick<ModelDescription, 'isLocal' | 'comfyui' | 'family'>,
  device: Pick<Device, 'kind'>,
): boolean {
  if (!isServedBy(model, device)) return false;
  return device.kind !== 'remote' || inexpressibleInComfyUi(request, model.family).length === 0;
}
