/** The right to use a permit of a device. Held by one attempt, released exactly once; a second release does nothing. */
export interface DeviceLease {
  readonly deviceId: string;
  release(): void;
}

/** Permits of the devices of this node: a counting semaphore each. */
export abstract class DeviceLeases {
  /** Takes a permit at once, or returns null when all are taken. */
  abstract tryAcquire(deviceId: string): DeviceLease | null;
  abstract free(deviceId: string): number;
  /** Calls back when a permit comes back; returns how to stop. */
  abstract onRelease(listener: (deviceId: string) => void): () => void;
}
