import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NodeProcess } from '../support/node-process.js';

/** The server that is measured. */
export interface ServerUnderTest {
  readonly url: string;
  /** Its process, where it is ours. */
  readonly pid: number | null;
}

/** A real server of our own with the embedded model, in a folder that goes when it goes. */
export class OwnServer implements ServerUnderTest {
  readonly url: string;
  readonly pid: number;

  readonly folder: string;
  private readonly node: NodeProcess;

  private constructor(node: NodeProcess, folder: string) {
    this.node = node;
    this.folder = folder;
    this.url = node.url!;
    this.pid = node.pid!;
  }

  /** As it comes: default settings, one worker for each device, its own choice of threads. */
  static async start(): Promise<OwnServer> {
    const folder = mkdtempSync(join(tmpdir(), 'safelight-serve-'));
    const node = new NodeProcess({
      name: 'serve',
      dataDir: join(folder, 'data'),
      config: {
        http: { port: 0 },
        log: { level: 'warn' },
      },
      env: { OMP_NUM_THREADS: process.env['OMP_NUM_THREADS'] },
    });
    try {
      await node.start();
      await node.ready();
      return new OwnServer(node, folder);
    } catch (error) {
      await node.stop();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async remove(): Promise<void> {
    await this.node.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
