import type { LoraRequest } from '../../domain/generation/generation-request.js';
import type { ModelAddOn, ModelDescription } from '../../domain/generation/model-description.js';
import type { LoraInput } from './generation-input.js';
import type { ProblemList } from './problem-list.js';

/** Beyond this a LoRA leaves nothing of the model. */
const MAX_LORA_WEIGHT = 4;

/** What a model offers of one kind. */
interface Offer {
  readonly capability: 'controlnet' | 'ip_adapter' | 'lora';
  readonly offered: readonly ModelAddOn[];
  readonly model: ModelDescription;
}

/** Whether the model was given weights under this id; notes the problem when it was not. */
export function isAddOn(field: string, id: string, offer: Offer, problems: ProblemList): boolean {
  const { capability, offered, model } = offer;
  if (!model.capabilities.includes(capability)) {
    problems.add(field, `the model ${model.id} cannot do ${capability}`, id, { capabilities: model.capabilities });
    return false;
  }
  if (offered.some((known) => known.id === id)) return true;
  const ids = offered.map((known) => known.id);
  problems.add(field, `the model ${model.id} has no ${capability} of this id`, id, ids);
  return false;
}

/** The LoRAs of a request with their weights; undefined when there are none. */
export function resolveLoras(
  loras: readonly LoraInput[],
  model: ModelDescription,
  problems: ProblemList,
): LoraRequest[] | undefined {
  const resolved = loras.map(({ id, weight = 1 }, index) => {
    const field = `loras[${index}]`;
    isAddOn(`${field}.id`, id, { capability: 'lora', offered: model.loras, model }, problems);
    if (loras.findIndex((other) => other.id === id) < index)
      problems.add(`${field}.id`, 'is named twice; add the weights up', id, { unique: true });
    return { id, weight: problems.range(`${field}.weight`, weight, -MAX_LORA_WEIGHT, MAX_LORA_WEIGHT) };
  });
  return resolved.length > 0 ? resolved : undefined;
}
