import { Injectable } from '@nestjs/common';

import type { ModelDescription } from '../domain/generation/model-description.js';
import type { Reservation } from '../domain/placement/reservation.js';
import { roomFor } from '../domain/placement/room.js';
import type { ClaimableModel } from '../jobs/ports/job-store.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { Fallback } from './fallback.js';
import { Footprints } from './footprints.js';
import { DeviceLeases } from './ports/device-leases.port.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';
import { Turns } from './turns.js';

/**
 * How long a job may be overtaken by one whose model is on the device already, in milliseconds: about four loads of a large
 * model. Kept below the smallest distance of two priority classes, so that it never outweighs a class.
 */
export const WARM_BONUS_MS = 30_000;

/** The models a worker can be given jobs of now. */
@Injectable()
export class Candidates {
  private withdrawn: readonly string[] = [];

  constructor(
    private readonly store: JobStore,
    private readonly models: ModelCatalog,
    private readonly footprints: Footprints,
    private readonly leases: DeviceLeases,
    private readonly turns: Turns,
    private readonly fallback: Fallback,
  ) {}

  /**
   * Finds the models that waiting jobs still name although the settings no longer do: these jobs must be claimed to be told
   * that they cannot be run. In a shared store they may be another node's to run.
   */
  async start(): Promise<void> {
    if (this.store.isShared) return;
    this.withdrawn = (await this.store.waitingModels()).filter((model) => this.models.find(model) === null);
  }

  async for(worker: ReadyWorker): Promise<ClaimableModel[]> {
    const taken = this.leases.reservations(worker.device.id);
    const served = this.models.list().filter((model) => this.fallback.allows(worker, model));
    const fitting = served.map((model) => ({
      model: model.id,
      bonusMs: worker.warmModels.includes(model.id) ? WARM_BONUS_MS : 0,
      ...this.room(worker, model, taken),
    }));
    const cramped = fitting.flatMap(({ model, maxPixels }) => (maxPixels === null ? [] : [{ model, maxPixels }]));
    if (await this.turns.isKept(worker, cramped)) return [];
    return [
      ...fitting.filter(({ fits }) => fits).map(({ fits: _, ...claimable }) => claimable),
      ...this.withdrawn.map((model) => ({ model, bonusMs: 0, maxPixels: null })),
    ];
  }

  /** Whether a model has room on a worker beside what is taken there, and for pictures of how many pixels at most. */
  room(
    worker: ReadyWorker,
    model: ModelDescription,
    reservations: readonly Reservation[],
  ): { readonly fits: boolean; readonly maxPixels: number | null } {
    if (!this.fallback.allows(worker, model)) return { fits: false, maxPixels: 0 };
    const footprint = this.footprints.of(model, worker.device.kind);
    return roomFor({ model, footprint, budgetBytes: worker.budgetBytes, reservations });
  }
}
