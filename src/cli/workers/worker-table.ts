import type { WorkerJson } from '../client/wire.js';
import { renderTable } from '../table.js';

/** Workers one a line. */
export function workerTable(workers: readonly WorkerJson[]): string {
  const rows = workers.map(({ id, node, state, pid, running, restarts, models, reason }) => [
    id,
    node,
    state,
    pid === null ? '-' : String(pid),
    String(running),
    String(restarts),
    models.join(', ') || '-',
    reason ?? '',
  ]);
  return renderTable([['ID', 'NODE', 'STATE', 'PID', 'RUNNING', 'RESTARTS', 'MODELS', 'REASON'], ...rows]);
}
