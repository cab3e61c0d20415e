import type { ModelDescription } from '../domain/generation/model-description.js';
import { schedulersFor } from '../domain/generation/noise-scheduler.js';
import { FAMILY_PROFILES } from '../domain/generation/pipeline-family.js';
import type { ModelEntry } from '../config/model-entries.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { readModelFolder } from './model-folder.js';

/** Models in folders, as the settings list them. Reads each folder once; throws when one cannot be served. */
export class FolderModelCatalog extends ModelCatalog {
  private readonly models: ReadonlyMap<string, ModelDescription>;
  private readonly defaultModel: ModelDescription;

  constructor(entries: readonly ModelEntry[]) {
    super();
    const chosen = entries.find((entry) => entry.default) ?? entries[0];
    if (chosen === undefined) throw new RangeError('there is no model to serve');
    this.models = new Map(entries.map((entry) => [entry.id, describe(entry, entry === chosen)]));
    this.defaultModel = this.models.get(chosen.id)!;
  }

  list(): readonly ModelDescription[] {
    return [...this.models.values()];
  }

  find(id: string): ModelDescription | null {
    return this.models.get(id) ?? null;
  }

  default(): ModelDescription {
    return this.defaultModel;
  }
}

function describe({ id, source, family, dtype, variant }: ModelEntry, isDefault: boolean): ModelDescription {
  const folder = readModelFolder(source, family);
  const schedulers = schedulersFor(FAMILY_PROFILES[folder.family].flowMatching);
  return { id, source, dtype, variant, isDefault, ...folder, schedulers, capabilities: ['text_to_image'] };
}
