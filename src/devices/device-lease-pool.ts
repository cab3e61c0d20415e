import { Injectable, Optional } from '@nestjs/common';

import { WorkersConfig } from '../config/workers.config.js';
import type { DeviceLease } from '../dispatch/ports/device-leases.port.js';
import { DeviceLeases } from '../dispatch/ports/device-leases.port.js';
import type { Reservation } from '../domain/placement/reservation.js';

/** Somebody who wants a device alone, or has it. */
interface Loner {
  readonly reservation: Reservation;
  grant(lease: DeviceLease): void;
}

/** What is taken of a device. */
interface Taken {
  readonly held: Set<Reservation>;
  /** In the order they came; the first one has the device, or waits until it is empty. */
  readonly loners: Loner[];
}

/** A counting semaphore per device. Waiting is the dispatcher's: it claims a job only when it can have a permit. */
@Injectable()
export class DeviceLeasePool extends DeviceLeases {
  private readonly devices = new Map<string, Taken>();
  private readonly listeners = new Set<(deviceId: string) => void>();

  /** @param permitsOf of devices that have another number */
  constructor(
    private readonly config: WorkersConfig,
    @Optional() private readonly permitsOf: ReadonlyMap<string, number> = new Map(),
  ) {
    super();
  }

  tryAcquire(deviceId: string, reservation: Reservation): DeviceLease | null {
    return this.free(deviceId) > 0 ? this.hold(deviceId, { ...reservation }) : null;
  }

  acquireAlone(deviceId: string, reservation: Reservation, signal: AbortSignal): Promise<DeviceLease> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const giveUp = () => {
        reject(signal.reason as Error);
        this.leave(deviceId, loner);
      };
      const loner = {
        reservation: { ...reservation },
        grant: (lease: DeviceLease) => {
          signal.removeEventListener('abort', giveUp);
          resolve(lease);
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.taken(deviceId).loners.push(loner);
      this.grantNext(deviceId);
    });
  }

  free(deviceId: string): number {
    const { held, loners } = this.taken(deviceId);
    return loners.length > 0 ? 0 : (this.permitsOf.get(deviceId) ?? this.config.permits) - held.size;
  }

  reservations(deviceId: string): readonly Reservation[] {
    return [...this.taken(deviceId).held];
  }

  onRelease(listener: (deviceId: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private hold(deviceId: string, reservation: Reservation, loner: Loner | null = null): DeviceLease {
    const { held } = this.taken(deviceId);
    held.add(reservation);
    return {
      deviceId,
      release: () => {
        if (!held.delete(reservation)) return;
        if (loner !== null) this.leave(deviceId, loner);
        else this.handOn(deviceId);
      },
    };
  }

  private leave(deviceId: string, loner: Loner): void {
    const { loners } = this.taken(deviceId);
    loners.splice(loners.indexOf(loner), 1);
    this.handOn(deviceId);
  }

  private handOn(deviceId: string): void {
    this.grantNext(deviceId);
    for (const listener of this.listeners) listener(deviceId);
  }

  private grantNext(deviceId: string): void {
    const { held, loners } = this.taken(deviceId);
    const [first] = loners;
    if (first === undefined || held.size > 0) return;
    first.grant(this.hold(deviceId, first.reservation, first));
  }

  private taken(deviceId: string): Taken {
    const known = this.devices.get(deviceId);
    if (known !== undefined) return known;
    const taken = { held: new Set<Reservation>(), loners: [] };
    this.devices.set(deviceId, taken);
    return taken;
  }
}
