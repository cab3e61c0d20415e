// One bootstrap at a time. The lock names its holder and the command the holder is running, so that
// whoever comes after a kill -9 can end an orphaned `npm ci` before starting another.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isAlive } from './process-id.mjs';

/**
 * @typedef {import('./process-id.mjs').ProcessId} ProcessId
 * @typedef {{ holder: ProcessId, child?: ProcessId }} LockContent
 * @typedef {'free' | 'held' | 'stale'} LockState
 */

/**
 * @param {string | undefined} text what the lock file holds; undefined when there is none
 * @param {(id: ProcessId) => boolean} [alive]
 * @returns {{ state: LockState, content?: LockContent }}
 */
export function readLock(text, alive = isAlive) {
  if (text === undefined) return { state: 'free' };
  try {
    /** @type {LockContent} */
    const content = JSON.parse(text);
    if (content.holder) return { state: alive(content.holder) ? 'held' : 'stale', content };
  } catch {
    // Not ours or cut short: the file appears complete (link) or is replaced whole (rename), so nobody is writing it.
  }
  return { state: 'stale' };
}

/** @param {string} path */
function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * @param {string} path
 * @param {object} [options]
 * @param {(holder: ProcessId) => void} [options.onWait] called once, when another holder is alive
 * @param {number} [options.pollMs]
 * @returns {Promise<Lock>}
 */
export async function takeLock(path, { onWait, pollMs = 200 } = {}) {
  mkdirSync(dirname(path), { recursive: true });
  const lock = new Lock(path);
  let told = false;
  for (;;) {
    if (lock.tryTake()) return lock;
    const text = readIfThere(path);
    const { state, content } = readLock(text);
    if (state === 'stale' && text !== undefined) {
      if (removeStale(path, text)) endOrphan(content?.child);
      continue;
    }
    if (state === 'held' && content && !told) {
      told = true;
      onWait?.(content.holder);
    }
    await sleep(pollMs);
  }
}

/**
 * Moves the stale lock aside. Two waiters may try at once, and the slower one may catch the fresh
 * lock of the faster: it sees that by the content and puts it back.
 * @param {string} path
 * @param {string} seen
 * @returns {boolean} whether it was the stale one
 */
function removeStale(path, seen) {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return false;
  }
  const was = readIfThere(aside);
  if (was !== seen) {
    try {
      linkSync(aside, path);
    } catch {
      // A third one took it meanwhile; that one waits for nobody, and the steps are safe to repeat.
    }
  }
  rmSync(aside, { force: true });
  return was === seen;
}

/** @param {ProcessId | undefined} child leader of its own process group */
function endOrphan(child) {
  if (!child || child.startedAt === '' || !isAlive(child)) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Gone by itself.
  }
}

class Lock {
  #path;
  #held = false;

  /** @param {string} path */
  constructor(path) {
    this.#path = path;
  }

  tryTake() {
    const mine = `${this.#path}.${process.pid}`;
    writeFileSync(mine, this.#text());
    try {
      // link fails when the name exists, and shows the whole content at once.
      linkSync(mine, this.#path);
      this.#held = true;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    } finally {
      rmSync(mine, { force: true });
    }
    return this.#held;
  }

  /**
   * Notes the command that is running, or that none is.
   * @param {number | undefined} pid
   */
  noteChild(pid) {
    if (!this.#held) return;
    const mine = `${this.#path}.${process.pid}`;
    writeFileSync(mine, this.#text(pid));
    renameSync(mine, this.#path);
  }

  release() {
    if (!this.#held) return;
    this.#held = false;
    rmSync(this.#path, { force: true });
  }

  /** @param {number} [childPid] */
  #text(childPid) {
    /** @type {LockContent} */
    const content = { holder: identify(process.pid), ...(childPid && { child: identify(childPid) }) };
    return JSON.stringify(content);
  }
}
