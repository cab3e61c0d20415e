import { constants } from 'node:fs';
import { access, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { EMBEDDED_MODEL_ID } from '../../config/models.config.js';
import type { Settings } from '../../config/settings.js';
import { formatBytes } from '../format-duration.js';
import { WORKER_DIR } from '../package-root.js';
import type { Finding } from './finding.js';
import { fail, ok } from './finding.js';

/** Whether every model that is to be served lies where it should. */
export async function checkModels({ models }: Settings): Promise<Finding[]> {
  const listed = models.entries.map(({ id, source }) => ({ id, source }));
  const all = models.embedded
    ? [...listed, { id: EMBEDDED_MODEL_ID, source: join(WORKER_DIR, 'models', EMBEDDED_MODEL_ID) }]
    : listed;
  return Promise.all(all.map(({ id, source }) => checkModel(id, source)));
}

async function checkModel(id: string, source: string): Promise<Finding> {
  const area = `model ${id}`;
  try {
    const index = JSON.parse(await readFile(join(source, 'model_index.json'), 'utf8')) as Record<string, unknown>;
    const missing = await missingComponents(source, index);
    if (missing.length > 0)
      return fail(area, `${source} lacks ${missing.join(', ')}`, 'copy the whole folder of the model again');
    return ok(area, `${String(index['_class_name'])}, ${formatBytes(await readableBytes(source))} at ${source}`);
  } catch (error) {
    const reason =
      error instanceof SyntaxError
        ? 'its model_index.json is not JSON'
        : describeFileError(error as NodeJS.ErrnoException);
    const mend =
      id === EMBEDDED_MODEL_ID
        ? 'restore it from the repository, or set embedded_model: false'
        : 'correct `source` in the settings';
    return fail(area, `${source} cannot be used: ${reason}`, mend);
  }
}

/** Components are the entries that name a library and a class; `[null, null]` is one that was left out on purpose. */
async function missingComponents(source: string, index: Record<string, unknown>): Promise<string[]> {
  const names = Object.entries(index).flatMap(([name, value]) =>
    Array.isArray(value) && value[0] !== null ? [name] : [],
  );
  const found = new Set(await readdir(source));
  return names.filter((name) => !found.has(name));
}

async function readableBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const about = await stat(path);
    if (!about.isFile()) continue;
    await access(path, constants.R_OK);
    bytes += about.size;
  }
  return bytes;
}

function describeFileError({ code, path, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return `there is no ${path}`;
  return code === 'EACCES' ? `${path} cannot be read by this user` : message;
}
