// A stamp lies inside the folder it vouches for and is written last: whoever deletes the folder
// deletes the stamp, and work that was interrupted has none.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = '.safelight-stamp.json';

/**
 * @typedef {{ fingerprint: string, [more: string]: unknown }} Stamp
 */

/**
 * @param {string} folder
 * @returns {Stamp | undefined} undefined also when what is there cannot be read
 */
export function readStamp(folder) {
  try {
    const stamp = JSON.parse(readFileSync(join(folder, FILE), 'utf8'));
    return typeof stamp?.fingerprint === 'string' ? stamp : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} folder
 * @param {Stamp} stamp
 */
export function writeStamp(folder, stamp) {
  mkdirSync(folder, { recursive: true });
  const temporary = join(folder, `${FILE}.${process.pid}`);
  writeFileSync(temporary, `${JSON.stringify(stamp)}\n`);
  renameSync(temporary, join(folder, FILE));
}

/**
 * Call before touching the folder.
 * @param {string} folder
 */
export function dropStamp(folder) {
  rmSync(join(folder, FILE), { force: true });
}
