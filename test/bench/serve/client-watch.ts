import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

const RESOLUTION_MS = 10;

/** How busy the generator itself was. */
export interface ClientLoad {
  /** Milliseconds by which its event loop came late, 99th percentile. */
  readonly loopDelayP99Ms: number;
  /** Share of the time its event loop was at work, 0 to 1. */
  readonly loopUtilization: number;
}

/** Watches this process from when it is made until its end is asked for. */
export class ClientWatch {
  private readonly delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  private readonly before = performance.eventLoopUtilization();

  constructor() {
    this.delay.enable();
  }

  end(): ClientLoad {
    this.delay.disable();
    // The histogram holds the time between two looks, the pace of looking included.
    const p99 = this.delay.percentile(99) / 1e6 - RESOLUTION_MS;
    const { utilization } = performance.eventLoopUtilization(this.before);
    return { loopDelayP99Ms: Math.max(0, p99), loopUtilization: utilization };
  }
}
