import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { execa } from 'execa';

/** A picture to draw by diffusers' own call: see the module of the same name in python-worker/tests/support. */
export interface Order {
  readonly folder: string;
  readonly seed: number;
  readonly call: Readonly<Record<string, unknown>>;
  readonly scheduler?: string;
  readonly scheduler_options?: Readonly<Record<string, unknown>>;
  /** File to start from. */
  readonly image?: string;
}

/** PNGs of the orders, in their order. */
export async function referencePictures(orders: readonly Order[]): Promise<Buffer[]> {
  const folder = mkdtempSync(join(tmpdir(), 'safelight-reference-'));
  try {
    const told = orders.map((order, index) => ({ ...order, out: join(folder, `${index}.png`) }));
    await execa(resolve('python-worker/.venv/bin/python'), ['-m', 'tests.support.reference'], {
      cwd: 'python-worker',
      env: { HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' },
      input: JSON.stringify(told),
    });
    return told.map(({ out }) => readFileSync(out));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
