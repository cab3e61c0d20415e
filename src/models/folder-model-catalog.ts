import { existsSync } from 'node:fs';

import type { ModelEntry } from '../config/model-entry.js';
import { hasComfyUiWorkflow } from '../domain/generation/comfyui-family.js';
import type { ModelDescription } from '../domain/generation/model-description.js';
import { PLAIN_SERVING } from '../domain/generation/model-description.js';
import { isControlNetClass } from '../domain/generation/pipeline-family.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { describeComfyUiModel } from './comfyui-model.js';
import { capabilitiesOf, WITH_CONTROLNETS, WITHOUT_IP_ADAPTERS } from './capabilities.js';
import { componentWeights } from './component-weights.js';
import { readModelFolder, UnusableModelError } from './model-folder.js';
import { locateModel } from './model-location.js';

/** A model as settings name it; what is left out is as in settings that leave it out. */
export type ListedModel = Pick<ModelEntry, 'id' | 'source'> & Partial<ModelEntry>;

const PLAIN = { ...PLAIN_SERVING, family: null, dtype: null, variant: null } as const;

/** Models as the settings list them. Reads what describes each once; throws when one cannot be served. */
export class FolderModelCatalog extends ModelCatalog {
  private readonly models: ReadonlyMap<string, ModelDescription>;
  private readonly byName: ReadonlyMap<string, ModelDescription>;
  private readonly defaultModel: ModelDescription;

  constructor(entries: readonly ListedModel[], env: Readonly<Record<string, string | undefined>> = process.env) {
    super();
    const chosen = entries.find((entry) => entry.default) ?? entries[0];
    if (chosen === undefined) throw new RangeError('there is no model to serve');
    this.models = new Map(entries.map((entry) => [entry.id, describeModel(entry, entry === chosen, env)]));
    this.byName = new Map(this.list().flatMap((model) => [model.id, ...model.aliases].map((name) => [name, model])));
    this.defaultModel = this.models.get(chosen.id)!;
  }

  list(): readonly ModelDescription[] {
    return [...this.models.values()];
  }

  find(id: string): ModelDescription | null {
    return this.byName.get(id) ?? null;
  }

  default(): ModelDescription {
    return this.defaultModel;
  }
}

function describeModel(
  listed: ListedModel,
  isDefault: boolean,
  env: Readonly<Record<string, string | undefined>>,
): ModelDescription {
  const { source } = listed;
  if (source === null) return describeComfyUiModel(listed, isDefault);
  const { family, default: _, memory, comfyui, ...entry } = { ...PLAIN, ...listed, source };
  const location = locateModel(entry, env);
  const { tasks, ...facts } = readModelFolder(location.folder, family);
  const { loras, controlnets, ipAdapters, id } = entry;
  for (const { id: addOn, source } of [...loras, ...controlnets, ...ipAdapters])
    if (!existsSync(source))
      throw new UnusableModelError(source, `does not exist; the model ${id} lists it as ${addOn}`);
  const fault = faultOf(facts, { controlnets, ipAdapters });
  if (fault !== null) throw new UnusableModelError(entry.source, `a ${facts.pipelineClass} ${fault}`);
  if (comfyui !== null && !hasComfyUiWorkflow(facts.family))
    throw new UnusableModelError(entry.source, `there are no ComfyUI workflows of the family ${facts.family}`);
  return {
    ...entry,
    ...facts,
    comfyui: comfyui === null ? null : filesOf(comfyui),
    components: componentWeights(location, entry.variant),
    memory: memory ?? PLAIN_SERVING.memory,
    isDefault,
    capabilities: capabilitiesOf({ tasks, family: facts.family, loras, controlnets, ipAdapters }),
  };
}

/** Defaults are those of the folder: a request means the same wherever it is drawn. */
function filesOf({ defaults: _, ...files }: NonNullable<ModelEntry['comfyui']>): ModelDescription['comfyui'] {
  return files;
}

/** Why workers would refuse every request, or every one that names what is listed beside the model; null: they would not. */
function faultOf(
  { family, pipelineClass }: Pick<ModelDescription, 'family' | 'pipelineClass'>,
  { controlnets, ipAdapters }: Pick<ModelDescription, 'controlnets' | 'ipAdapters'>,
): string | null {
  const follows = isControlNetClass(pipelineClass);
  if ((follows || controlnets.length > 0) && !WITH_CONTROLNETS.includes(family))
    return 'cannot be steered by ControlNets here';
  if (follows && controlnets.length === 0)
    return 'draws along a picture only: list the ControlNet of its folder under `controlnets`';
  if (ipAdapters.length > 0 && WITHOUT_IP_ADAPTERS.includes(family)) return 'has no UNet to attach IP-Adapters to';
  return null;
}
