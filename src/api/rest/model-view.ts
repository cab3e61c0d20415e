import type { ModelAddOn, ModelDescription } from '../../domain/generation/model-description.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import { isServedBy } from '../../domain/placement/served-by.js';
import { takesAttempts } from '../../domain/placement/worker-state.js';
import type { ModelView } from './dto/model-schemas.js';

/** A model in the words of the API. Where its files lie is nobody's business but the operator's. */
export function modelView(model: ModelDescription, workers: readonly WorkerDescription[]): ModelView {
  const serving = workers.filter(({ state, device }) => takesAttempts(state) && isServedBy(model, device));
  const { id, family, isDefault, limits, defaults, schedulers, capabilities } = model;
  const idsOf = (addOns: readonly ModelAddOn[]) => addOns.map((addOn) => addOn.id);
  return {
    id,
    family,
    ready: serving.length > 0,
    loaded: serving.some(({ models }) => models.includes(id)),
    default: isDefault,
    limits: { ...limits },
    defaults: { ...defaults },
    schedulers: [...schedulers],
    capabilities: [...capabilities],
    loras: idsOf(model.loras),
    controlnets: idsOf(model.controlnets),
    ip_adapters: idsOf(model.ipAdapters),
  };
}
