import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Cluster } from './cluster.js';
import type { Rows } from './rows.js';

/** What should be gone once everything is final and the nodes have stopped. */
export interface Leftovers {
  readonly stagingFolders: number;
  readonly checkpoints: number;
  /** Folders of attempts beside the one whose pictures the job has. */
  readonly resultFolders: number;
  readonly openAttempts: number;
  /** Attempts that workers still counted as running before the nodes stopped. */
  readonly permits: number;
  readonly workerProcesses: number;
}

/** Permits that are taken though nothing runs. */
export async function takenPermits(cluster: Cluster): Promise<number> {
  const workers = await Promise.all(cluster.nodes.map((node) => node.workers()));
  return workers.flat().reduce((sum, { running }) => sum + running, 0);
}

export function findLeftovers(cluster: Cluster, rows: Rows, permits: number): Leftovers {
  const { folder } = cluster.disk;
  const staging = namesIn(join(folder, '.staging')).flatMap((node) => namesIn(join(folder, '.staging', node)));
  const folders = rows.jobs.map(({ id, artifacts }) => ({
    attempts: namesIn(join(folder, id)).filter((name) => /^\d+$/.test(name)).length - (artifacts > 0 ? 1 : 0),
    checkpoints: namesIn(join(folder, id, 'checkpoints')).length,
  }));
  return {
    stagingFolders: staging.length,
    checkpoints:
      folders.reduce((sum, { checkpoints }) => sum + checkpoints, 0) +
      rows.jobs.filter(({ finishedAt, hasCheckpoint }) => finishedAt !== null && hasCheckpoint).length,
    resultFolders: folders.reduce((sum, { attempts }) => sum + Math.max(0, attempts), 0),
    openAttempts: rows.attempts.filter(({ outcome }) => outcome === 'running').length,
    permits,
    workerProcesses: cluster.orphans().length,
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
