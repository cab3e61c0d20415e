import type { Reservation } from '../../domain/placement/reservation.js';

/** The right to use a permit of a device. Held by one attempt, released exactly once; a second release does nothing. */
export interface DeviceLease {
  readonly deviceId: string;
  release(): void;
}

/** Permits and bytes of the devices of this node: a counting semaphore each. */
export abstract class DeviceLeases {
  /** Takes a permit at once, or returns null when all are taken or somebody has the device, or waits for it, alone. */
  abstract tryAcquire(deviceId: string, reservation: Reservation): DeviceLease | null;
  /**
   * Takes the whole device once all permits are back; from the call on nobody else gets one. Rejects with the signal's
   * reason, and takes nothing, when it aborts first.
   */
  abstract acquireAlone(deviceId: string, reservation: Reservation, signal: AbortSignal): Promise<DeviceLease>;
  /** Permits left; 0 while somebody has the device, or waits for it, alone. */
  abstract free(deviceId: string): number;
  /** What is taken now. */
  abstract reservations(deviceId: string): readonly Reservation[];
  /** Calls back when a permit comes back; returns how to stop. */
  abstract onRelease(listener: (deviceId: string) => void): () => void;
}
