import type { Fault } from '../fault.js';
import { aWorker } from './a-worker.js';

export const killWorker: Fault = {
  name: 'kill_worker',
  impossible: () => null,
  async throwAt(cluster, dice) {
    const target = await aWorker(cluster, dice);
    if (target === null) return null;
    process.kill(target.pid, 'SIGKILL');
    return { node: target.node, what: `SIGKILL of a worker in state ${target.state}` };
  },
};
