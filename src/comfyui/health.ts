import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import type { WorkerMemory } from '../domain/placement/worker-description.js';
import type { SystemStats } from './client/answers.js';
import type { ComfyUiClient } from './client/comfyui-client.js';
import { ComfyUiUnreachableError } from './client/comfyui-client.js';

export interface HealthOptions {
  readonly client: Pick<ComfyUiClient, 'systemStats' | 'url'>;
  readonly intervalMs: number;
  /** It came within reach, went out of it, or has been out of it a while longer. */
  readonly onChange: () => void;
  readonly log: Logger;
}

/** Looks at a ComfyUI server from time to time, and knows what it said last. */
export class Health {
  private stats: SystemStats | null = null;
  /** Why it is out of reach; null: it is not, or was not looked at. */
  private why: string | null = null;
  /** In performance.now() milliseconds; null: it is within reach. */
  private lostAt: number | null = null;
  private stopping = new AbortController();
  private loop: Promise<void> | null = null;
  private looking: Promise<boolean> | null = null;

  constructor(private readonly options: HealthOptions) {}

  get isReachable(): boolean {
    return this.stats !== null && this.why === null;
  }

  get reason(): string | null {
    return this.why;
  }

  /** Milliseconds; null: it is within reach, or was not looked at yet. */
  get outOfReachMs(): number | null {
    return this.lostAt === null ? null : performance.now() - this.lostAt;
  }

  get versions(): Readonly<Record<string, string>> | null {
    if (this.stats === null) return null;
    const { comfyui_version: comfyui, pytorch_version: torch, python_version: python } = this.stats.system;
    return { ...(comfyui && { comfyui }), ...(torch && { torch }), ...(python && { python }) };
  }

  /** Of its first device. */
  get memory(): WorkerMemory | null {
    const device = this.isReachable ? this.stats?.devices[0] : undefined;
    if (device === undefined) return null;
    return {
      totalBytes: device.vram_total,
      freeBytes: device.vram_free,
      allocatedBytes: Math.max(0, device.torch_vram_total - device.torch_vram_free),
      reservedBytes: device.torch_vram_total,
    };
  }

  start(): void {
    if (this.loop !== null) return;
    this.stopping = new AbortController();
    this.loop = this.watch(this.stopping.signal);
  }

  /** Safe to call twice. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
    this.loop = null;
  }

  /** Looks now; whether it is within reach. Never throws. */
  look(): Promise<boolean> {
    this.looking ??= this.lookOnce().finally(() => (this.looking = null));
    return this.looking;
  }

  private async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      // What lasts is told too: who waits for it to have lasted long enough hears of it.
      if (this.lostAt !== null) this.options.onChange();
      await wait(this.options.intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  private async lookOnce(): Promise<boolean> {
    const { client, log, onChange } = this.options;
    const was = this.isReachable;
    try {
      this.stats = await client.systemStats(this.stopping.signal);
      this.why = null;
      this.lostAt = null;
    } catch (error) {
      // Nobody looks any more: it says nothing of the server.
      if (this.stopping.signal.aborted) return was;
      this.why = error instanceof ComfyUiUnreachableError ? error.message : String(error);
      this.lostAt ??= performance.now();
    }
    if (was === this.isReachable) return was;
    if (this.isReachable) log.info({ url: client.url, versions: this.versions }, 'ComfyUI is within reach');
    else log.warn({ url: client.url, reason: this.why }, 'ComfyUI is out of reach');
    onChange();
    return this.isReachable;
  }
}
