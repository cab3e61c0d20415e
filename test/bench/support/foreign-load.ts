import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Processors that others may keep busy before figures are no longer to be trusted; as the worker's benchmarks have it. */
export const BUSY_ABOVE = 0.15;

/**
 * Processors that processes other than ours kept busy since this was made. `ours` are the roots of our process trees, which
 * live until the end. Linux only; elsewhere nothing is known.
 */
export class ForeignLoad {
  private readonly beganAt = performance.now();
  private readonly busyBefore = busySeconds();
  private readonly oursBefore: number;
  private readonly ours: readonly number[];

  constructor(ours: readonly number[]) {
    this.ours = ours;
    this.oursBefore = this.busyBefore === null ? 0 : secondsOf(ours);
  }

  /** The average number; null where the system does not tell. */
  processors(): number | null {
    const busy = busySeconds();
    if (busy === null || this.busyBefore === null) return null;
    const foreign = busy - this.busyBefore - (secondsOf(this.ours) - this.oursBefore);
    return Math.max(0, foreign) / ((performance.now() - this.beganAt) / 1000);
  }
}

/** Seconds all processors together have been at work since the machine started. */
function busySeconds(): number | null {
  const stat = readOrNull('/proc/stat');
  if (stat === null) return null;
  // user, nice, system, idle, iowait, irq, softirq, steal (proc(5)); stolen time is not ours either, so it counts as busy.
  const ticks = stat.split('\n', 1)[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
  const [, , , idle = 0, waiting = 0] = ticks;
  return (ticks.reduce((sum, tick) => sum + tick, 0) - idle - waiting) / ticksPerSecond();
}

/** Processor seconds of these processes and all that descend from them, those included that ended and were waited for. */
function secondsOf(roots: readonly number[]): number {
  const processes = readdirSync('/proc').flatMap((name) => {
    const stat = /^\d+$/.test(name) ? readOrNull(`/proc/${name}/stat`) : null;
    if (stat === null) return [];
    // What follows the name, which is in brackets and may hold anything: state, parent, …
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // utime, stime, cutime, cstime
    const ticks = fields.slice(11, 15).reduce((sum, tick) => sum + Number(tick), 0);
    return [{ pid: Number(name), parent: Number(fields[1]), ticks }];
  });
  const ours = new Set(roots);
  // Parents may be listed behind their children.
  for (let before = -1; before < ours.size;) {
    before = ours.size;
    for (const { pid, parent } of processes) if (ours.has(parent)) ours.add(pid);
  }
  const ticks = processes.filter(({ pid }) => ours.has(pid)).reduce((sum, { ticks }) => sum + ticks, 0);
  return ticks / ticksPerSecond();
}

let ticks: number | null = null;
function ticksPerSecond(): number {
  return (ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })));
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Not Linux, or the process has ended meanwhile.
    return null;
  }
}
