import { setTimeout as wait } from 'node:timers/promises';

import type { Fault } from '../fault.js';

/** Longer than a lease of three nodes, so that some jobs are taken over and some are taken back. */
const LONGEST_DOWN_MS = 6000;

export const killNode: Fault = {
  name: 'kill_node',
  impossible: () => null,
  async throwAt(cluster, dice, signal) {
    const node = dice.pick(cluster.nodes);
    const downMs = Math.round(dice.next() * LONGEST_DOWN_MS);
    if (node.url === null) return null;
    await cluster.noteWorkers();
    await node.kill();
    await wait(downMs, undefined, { signal }).catch(() => undefined);
    await node.start();
    return { node: node.name, what: `SIGKILL of a node, down for ${downMs} ms` };
  },
};
