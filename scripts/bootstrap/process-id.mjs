// Is that process still the one we think of? A process id alone is reused by the system sooner or
// later, so on Linux its start time goes with it.
import { readFileSync } from 'node:fs';

/**
 * @typedef {{ pid: number, startedAt: string }} ProcessId `startedAt` is in the kernel's ticks; empty where unknown
 */

/** @param {number} pid */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; the state comes right after, the start time is the 20th from there.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', startedAt: fields[19] ?? '' };
  } catch {
    return { state: '', startedAt: '' };
  }
}

/**
 * @param {number} pid
 * @returns {ProcessId}
 */
export const identify = (pid) => ({ pid, startedAt: startOf(pid).startedAt });

/** @param {ProcessId} id */
export function isAlive({ pid, startedAt }) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EPERM') return false;
  }
  const now = startOf(pid);
  if (now.state === 'Z') return false;
  return startedAt === '' || now.startedAt === '' || now.startedAt === startedAt;
}
