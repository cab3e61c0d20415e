import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import type { ModelDescription } from '../domain/generation/model-description.js';
import type { Phase } from '../domain/job/phase.js';
import type { DeviceKind } from '../domain/placement/device.js';
import { estimateFootprint } from '../domain/placement/estimate-footprint.js';
import type { ModelFootprint, Outcome } from '../domain/placement/footprint.js';
import { learnFit, learnOverrun } from '../domain/placement/footprint.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { FootprintStore } from '../jobs/ports/footprint-store.port.js';
import { LOG } from '../telemetry/log.js';
import { WorkerPool } from './ports/worker-pool.port.js';

/**
 * What models take of a kind of device: estimated from their files, then measured by workers, kept in the store. All of it
 * is a hint: what cannot be read or kept costs a worse prediction.
 */
@Injectable()
export class Footprints {
  private readonly known = new Map<string, ModelFootprint>();
  private saving: Promise<void> = Promise.resolve();
  private unsubscribe: (() => void) | null = null;

  constructor(
    private readonly store: FootprintStore,
    private readonly pool: WorkerPool,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  async start(): Promise<void> {
    this.unsubscribe = this.pool.onFootprint((measured) => {
      const overruns = this.known.get(keyOf(measured.model, measured.deviceKind))?.overruns ?? [];
      this.keep({ ...measured, overruns });
    });
    try {
      for (const footprint of await this.store.all()) {
        this.known.set(keyOf(footprint.model, footprint.deviceKind), footprint);
      }
    } catch (error) {
      this.log.warn({ err: error }, 'what was learned about memory could not be read');
    }
  }

  /** Safe to call twice. */
  async stop(): Promise<void> {
    this.unsubscribe?.();
    this.unsubscribe = null;
    await this.saving;
  }

  /** Null: nothing is known, and its files do not tell. */
  of(model: ModelDescription, deviceKind: DeviceKind): ModelFootprint | null {
    return this.known.get(keyOf(model.id, deviceKind)) ?? estimateFootprint(model, deviceKind);
  }

  /** An attempt ran out of memory where the prediction had let it through. */
  learnOverrun(model: ModelDescription, deviceKind: DeviceKind, overrun: Outcome & { readonly phase: Phase }): void {
    const known = this.of(model, deviceKind) ?? unmeasured(model, deviceKind);
    this.keep(learnOverrun(known, overrun, this.clock.now()));
  }

  /** An attempt succeeded, which may speak against what is known. */
  learnFit(model: ModelDescription, deviceKind: DeviceKind, fit: Outcome): void {
    const known = this.known.get(keyOf(model.id, deviceKind));
    const learned = known === undefined ? known : learnFit(known, fit);
    if (learned !== undefined && learned !== known) this.keep(learned);
  }

  private keep(footprint: ModelFootprint): void {
    this.known.set(keyOf(footprint.model, footprint.deviceKind), footprint);
    this.saving = this.saving.then(async () => {
      try {
        await this.store.save(footprint, this.clock.now());
      } catch (error) {
        this.log.warn({ err: error, model: footprint.model }, 'what was learned about memory could not be kept');
      }
    });
  }
}

/** Nothing but the overruns that are added to it: it predicts that everything fits. */
function unmeasured({ id, dtype }: ModelDescription, deviceKind: DeviceKind): ModelFootprint {
  return { model: id, deviceKind, dtype: dtype ?? '', weightsBytes: 0, components: {}, phases: [], overruns: [] };
}

function keyOf(model: string, deviceKind: DeviceKind): string {
  return `${deviceKind} ${model}`;
}
