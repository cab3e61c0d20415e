import { join } from 'node:path';

import type { ModelEntry } from '../../config/model-entry.js';
import { EMBEDDED_MODEL_ID } from '../../config/models.config.js';
import type { Settings } from '../../config/settings.js';
import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';
import { WORKER_DIR } from '../package-root.js';

/** A model of the settings, as the worker's command reads it. */
export type ServedModel = Pick<ModelEntry, 'id' | 'config' | 'family' | 'dtype' | 'variant' | 'quantization'> & {
  readonly source: string;
};

const PLAIN = { config: null, family: null, dtype: null, variant: null, quantization: null } as const;

/** All models the workers of a server of these settings would serve; ComfyUI's own have no files here. */
export function servedModels({ models }: Settings): ServedModel[] {
  const listed = models.entries.flatMap(({ id, source, config, family, dtype, variant, quantization }) =>
    source === null ? [] : [{ id, source, config, family, dtype, variant, quantization }],
  );
  if (!models.embedded) return listed;
  return [...listed, { ...PLAIN, id: EMBEDDED_MODEL_ID, source: join(WORKER_DIR, 'models', EMBEDDED_MODEL_ID) }];
}

/** The models of these ids, all when there is none. */
export function chooseModels(models: readonly ServedModel[], ids: readonly string[]): readonly ServedModel[] {
  const unknown = ids.filter((id) => !models.some((model) => model.id === id));
  if (unknown.length > 0) {
    throw new CliError({
      kind: 'not_found',
      message: `The settings have no model ${unknown.join(', ')}.`,
      nextStep: `choose from ${models.map(({ id }) => id).join(', ')}, or add it to \`models\` in the settings.`,
      exitCode: EXIT.usage,
    });
  }
  return ids.length === 0 ? models : models.filter(({ id }) => ids.includes(id));
}
