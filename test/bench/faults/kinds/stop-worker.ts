import type { Fault } from '../fault.js';
import { aWorker } from './a-worker.js';

/** It is never continued: the node has to find out by itself. */
export const stopWorker: Fault = {
  name: 'stop_worker',
  impossible: () => null,
  async throwAt(cluster, dice) {
    const target = await aWorker(cluster, dice);
    if (target === null) return null;
    process.kill(target.pid, 'SIGSTOP');
    return { node: target.node, what: `SIGSTOP of a worker in state ${target.state}` };
  },
};
