import { existsSync, statSync } from 'node:fs';
import { extname } from 'node:path';

import { isHubId } from '../config/model-source.js';
import { cachedSnapshot } from './hub-cache.js';
import { UnusableModelError } from './model-folder.js';

export type SourceKind = 'folder' | 'single_file' | 'hub';

/** Files a source stands for. */
export interface ModelLocation {
  readonly kind: SourceKind;
  /** Folder in the diffusers layout that describes the model. */
  readonly folder: string;
}

const PICKLES = ['.ckpt', '.bin', '.pt', '.pth', '.pkl'];

/** Finds what describes a model, without loading it. Throws {@link UnusableModelError}. */
export function locateModel(
  { source, config }: { readonly source: string; readonly config: string | null },
  env: Readonly<Record<string, string | undefined>>,
): ModelLocation {
  if (isHubId(source)) {
    const folder = cachedSnapshot(source, env);
    if (folder !== null) return { kind: 'hub', folder };
    throw new UnusableModelError(
      source,
      `is not in the local cache of the hub (and no folder of that name was found); fetch it with \`npm run safelight -- models pull ${source}\``,
    );
  }
  if (PICKLES.includes(extname(source)))
    throw new UnusableModelError(source, 'is a pickle, which can run code when it is read; convert it to .safetensors');
  if (!existsSync(source)) throw new UnusableModelError(source, 'does not exist');
  if (!statSync(source).isFile()) return { kind: 'folder', folder: source };
  if (config === null)
    throw new UnusableModelError(source, 'is a single file: `config` must name the folder that describes it');
  return { kind: 'single_file', folder: config };
}
