// Has anything changed? A hash over names and contents: a checkout that only touches times changes
// nothing, and reading a few hundred source files takes some ten milliseconds.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/**
 * Every file below a folder, sorted; none when the folder does not exist.
 * @param {string} folder
 * @param {(path: string) => boolean} [wanted]
 * @returns {string[]}
 */
export function filesBelow(folder, wanted = () => true) {
  /** @type {string[]} */
  const found = [];
  /** @param {string} current */
  const visit = (current) => {
    /** @type {import('node:fs').Dirent[]} */
    let entries = [];
    try {
      entries = readdirSync(current, { withFileTypes: true });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
    }
    for (const entry of entries) {
      const path = join(current, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (wanted(path)) found.push(path);
    }
  };
  visit(folder);
  return found.sort();
}

/**
 * @param {string} base paths enter the hash relative to it, so that a moved repository stays up to date
 * @param {string[]} files a missing one counts as empty
 * @param {string[]} [extra] further values the result depends on
 */
export function fingerprint(base, files, extra = []) {
  const hash = createHash('sha256');
  for (const value of extra) hash.update(`value ${value.length} ${value}\n`);
  for (const file of files) {
    /** @type {Buffer} */
    let content = Buffer.alloc(0);
    try {
      content = readFileSync(file);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
    }
    hash.update(`file ${relative(base, file)} ${content.length}\n`).update(content);
  }
  return hash.digest('hex').slice(0, 32);
}
