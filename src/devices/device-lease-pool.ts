import { Injectable } from '@nestjs/common';

import { WorkersConfig } from '../config/workers.config.js';
import type { DeviceLease } from '../dispatch/ports/device-leases.port.js';
import { DeviceLeases } from '../dispatch/ports/device-leases.port.js';

/** A counting semaphore per device. Waiting is the dispatcher's: it claims a job only when it holds a permit. */
@Injectable()
export class DeviceLeasePool extends DeviceLeases {
  private readonly taken = new Map<string, number>();
  private readonly listeners = new Set<(deviceId: string) => void>();

  constructor(private readonly config: WorkersConfig) {
    super();
  }

  tryAcquire(deviceId: string): DeviceLease | null {
    if (this.free(deviceId) <= 0) return null;
    this.taken.set(deviceId, this.inUse(deviceId) + 1);
    let held = true;
    return {
      deviceId,
      release: () => {
        if (!held) return;
        held = false;
        this.taken.set(deviceId, this.inUse(deviceId) - 1);
        for (const listener of this.listeners) listener(deviceId);
      },
    };
  }

  free(deviceId: string): number {
    return this.config.permits - this.inUse(deviceId);
  }

  onRelease(listener: (deviceId: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private inUse(deviceId: string): number {
    return this.taken.get(deviceId) ?? 0;
  }
}
