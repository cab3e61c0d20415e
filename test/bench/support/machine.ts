import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';

/** What a reader needs to compare figures. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  /** Git's short hash, with `-dirty` when files were changed; empty outside a clone. */
  readonly commit: string;
  /** ISO 8601, UTC. */
  readonly beganAt: string;
  /** Of the minute before. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${type()} ${release()} ${process.arch}`,
    node: process.version,
    commit: commit(),
    beganAt: new Date().toISOString(),
    loadBefore: Number(loadavg()[0]!.toFixed(2)),
  };
}

export function machineLine(machine: Machine, versions: Readonly<Record<string, string>> = {}): string {
  const gib = (machine.memoryBytes / 2 ** 30).toFixed(0);
  const libraries = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${machine.processor}, ${machine.cores} cores, ${gib} GiB, ${machine.system}`,
    [`node ${machine.node}`, ...libraries].join(', '),
    `commit ${machine.commit || 'unknown'}, ${machine.beganAt}, load average before ${machine.loadBefore}`,
  ].join('; ');
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--match='], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return '';
  }
}
