import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where the hub's client keeps repositories, by the same variables. */
export function hubCacheDir(env: Environment): string {
  const given = env['HF_HUB_CACHE'] || env['HUGGINGFACE_HUB_CACHE'];
  if (given) return given;
  const home = env['HF_HOME'] || join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'huggingface');
  return join(home, 'hub');
}

/** Folder of a cached repository, `owner/name` or `owner/name@revision`; null when it is not there. */
export function cachedSnapshot(id: string, env: Environment): string | null {
  const [repository = '', revision = 'main'] = id.split('@');
  const home = join(hubCacheDir(env), `models--${repository.replaceAll('/', '--')}`);
  const folder = join(home, 'snapshots', commitOf(home, revision));
  return existsSync(folder) ? folder : null;
}

/** What a branch or tag stood for when it was fetched; a commit stands for itself. */
function commitOf(home: string, revision: string): string {
  try {
    return readFileSync(join(home, 'refs', revision), 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return revision;
    throw error;
  }
}
