import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';

import type { ModelLocation } from './model-location.js';

/** Components that hold nearly all of a model, and that workers can move on their own. */
const MOVABLE = /^(text_encoder(_\d)?|unet|transformer|vae)$/;

/**
 * Components with weights that the `model_index.json` of a model names, with the bytes of the files that would be loaded;
 * null where they lie in no folder of their own. Only names and sizes of files are read.
 */
export function componentWeights(
  { folder }: Pick<ModelLocation, 'folder'>,
  variant: string | null,
): Record<string, number | null> {
  const index = JSON.parse(readFileSync(join(folder, 'model_index.json'), 'utf8')) as Record<string, unknown>;
  const named = Object.entries(index).filter(([name, kind]) => MOVABLE.test(name) && isThere(kind));
  return Object.fromEntries(named.map(([name]) => [name, bytesIn(join(folder, name), variant)]));
}

/** A component is given as its library and class; one that was left out as two nulls. */
function isThere(kind: unknown): boolean {
  return Array.isArray(kind) && typeof kind[1] === 'string';
}

/** Of the variant's files, or of the plain ones where it has none: so the worker falls back. */
function bytesIn(folder: string, variant: string | null): number | null {
  const files = weightFilesIn(folder);
  const ofVariant = variant === null ? [] : files.filter((name) => name.includes(`.${variant}.`));
  const plain = files.filter((name) => !/\.(fp16|bf16|non_ema|ema)\./.test(name));
  const chosen = ofVariant.length > 0 ? ofVariant : plain;
  if (chosen.length === 0) return null;
  return chosen.reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

function weightFilesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => extname(name) === '.safetensors');
  } catch (error) {
    // Weights that lie elsewhere, such as those of a single file, leave the folder without this one.
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}
