import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';

import { formatBytes } from '../format-duration.js';
import type { Finding } from './finding.js';
import { fail, ok, warn } from './finding.js';
import { runTool } from './run-tool.js';

const GIBIBYTE = 1024 ** 3;
/** torch, a small model and the server take some 2 GiB together. */
const LITTLE_MEMORY = 3 * GIBIBYTE;
const MIB = 1024 ** 2;

/** What there is to compute with. */
export async function checkDevices(torch: string | null): Promise<Finding[]> {
  const [cpu, gpus] = await Promise.all([checkCpu(), checkGpus(torch)]);
  return [cpu, checkMemory(process.constrainedMemory(), process.availableMemory()), ...gpus];
}

async function checkCpu(): Promise<Finding> {
  const limit = await cpuLimit();
  const limited = limit === null ? '' : `, limited to ${limit} by the container`;
  return ok('cpu', `${availableParallelism()} cores${limited} (${cpus()[0]?.model.trim() ?? 'unknown'})`);
}

/** Cores a control group (version 2) grants; null when it sets no limit or there is none. */
async function cpuLimit(): Promise<number | null> {
  // Absent on other systems and under version 1: then there is nothing to tell.
  const text = await readFile('/sys/fs/cgroup/cpu.max', 'utf8').catch(() => 'max');
  const [quota, period] = text.trim().split(' ').map(Number);
  return quota && period ? Math.round((quota / period) * 10) / 10 : null;
}

export function checkMemory(constrained: number, available: number, total = totalmem()): Finding {
  // Without a limit the kernel says 0, or a number larger than any machine.
  const isLimited = constrained > 0 && constrained < total;
  const message = `${formatBytes(available)} free of ${formatBytes(isLimited ? constrained : total)}${isLimited ? ', the limit of the container' : ''}`;
  if (available >= LITTLE_MEMORY) return ok('memory', message);
  return warn('memory', message, `free some: a worker with a small model needs about ${formatBytes(LITTLE_MEMORY)}`);
}

async function checkGpus(torch: string | null): Promise<Finding[]> {
  const query = ['--query-gpu=index,name,memory.total,memory.free,driver_version', '--format=csv,noheader,nounits'];
  const outcome = await runTool('nvidia-smi', query);
  if (!outcome.ok) return [ok('gpu', `no NVIDIA GPU (nvidia-smi: ${outcome.reason}); the CPU computes`)];
  return describeGpus(outcome.stdout, torch);
}

/** `torch` is the version that is installed, null when none is. */
export function describeGpus(csv: string, torch: string | null): Finding[] {
  const rows = csv.split('\n').map((line) => line.split(',').map((cell) => cell.trim()));
  const gpus = rows
    .filter((cells) => cells.length === 5)
    .map(([index, name, total, free, driver]) => {
      const memory = `${formatBytes(Number(free) * MIB)} free of ${formatBytes(Number(total) * MIB)}`;
      return ok(`cuda:${index}`, `${name}, ${memory}, driver ${driver}`);
    });
  // The label of a build without CUDA: its workers on these devices would end at their start.
  if (gpus.length === 0 || !torch?.endsWith('+cpu')) return gpus;
  const mend = 'install a CUDA build of torch into the environment of the workers, or set devices.ids: [cpu:0]';
  return [...gpus, fail('torch', `${torch} cannot use the GPU`, mend)];
}
