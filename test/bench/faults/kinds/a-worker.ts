import type { Dice } from '../../support/dice.js';
import type { Cluster } from '../cluster.js';

/** A worker process of a node drawn at random; null when it has none just now. */
export async function aWorker(
  cluster: Cluster,
  dice: Dice,
): Promise<{ readonly pid: number; readonly node: string; readonly state: string } | null> {
  const node = dice.pick(cluster.nodes);
  const [worker] = await node.workers().catch(() => []);
  // One that starts is left alone: killed again and again it would never work, and the storm would show nothing.
  if (worker === undefined || worker.pid === null || !['ready', 'busy'].includes(worker.state)) return null;
  cluster.workerPids.add(worker.pid);
  return { pid: worker.pid, node: node.name, state: worker.state };
}
