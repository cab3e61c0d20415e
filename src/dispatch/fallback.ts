import { Injectable } from '@nestjs/common';

import { ComfyUiConfig } from '../config/comfyui.config.js';
import type { ModelDescription } from '../domain/generation/model-description.js';
import type { Job } from '../domain/job/job.js';
import { canRun, isServedBy } from '../domain/placement/served-by.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import type { PresentWorker } from './other-workers.js';
import { OtherWorkers } from './other-workers.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';
import { headsOf } from './queue-heads.js';

/** Between two looks in a shared store, in milliseconds: other nodes tell no oftener what their workers do. */
const LOOK_PAUSE_MS = 1000;

/**
 * Workers come before other servers: says of which models a server may be given jobs now, and finds those that no worker
 * could run. Where there is no such server it says nothing and asks nobody.
 */
@Injectable()
export class Fallback {
  private present: readonly PresentWorker[] = [];
  private lookedAt = Number.NEGATIVE_INFINITY;
  /** Null: a worker is there. */
  private workersGoneSince: number | null = null;

  constructor(
    private readonly store: JobStore,
    private readonly models: ModelCatalog,
    private readonly otherWorkers: OtherWorkers,
    private readonly clock: Clock,
    private readonly config: ComfyUiConfig,
  ) {}

  /** Looks who is there; to be called before anything is claimed for these. */
  async look(open: readonly ReadyWorker[]): Promise<void> {
    if (!open.some(isRemote)) return;
    const now = this.clock.now();
    if (this.store.isShared && now - this.lookedAt < LOOK_PAUSE_MS) return;
    this.lookedAt = now;
    this.present = await this.otherWorkers.present();
    const isGone = this.present.every(isRemote);
    this.workersGoneSince = isGone ? (this.workersGoneSince ?? now) : null;
  }

  /** Whether a worker may be given jobs of a model, as of the last look. */
  allows(worker: ReadyWorker, model: ModelDescription): boolean {
    if (!isServedBy(model, worker.device)) return false;
    if (!isRemote(worker) || !model.isLocal) return !isRemote(worker) || this.isOfUse(worker, model);
    return this.takesOverInMs() === 0 && this.isOfUse(worker, model);
  }

  /** Who is there on this node, for who wants to know whether that has changed. */
  presentHere(): string {
    return this.otherWorkers
      .presentHere()
      .map(({ id }) => id)
      .join('\n');
  }

  /** Milliseconds after which more is allowed, with nothing else changing; null: never. */
  get changesInMs(): number | null {
    const ms = this.takesOverInMs();
    return ms === null || ms === 0 ? null : ms;
  }

  /**
   * A model of which this server would be given a job that workers serve, and that every one of them failed at; null: there
   * is none.
   */
  async findModel(worker: ReadyWorker): Promise<string | null> {
    if (!isRemote(worker) || !this.isPresent(worker)) return null;
    const both = this.models.list().filter((model) => model.isLocal && isServedBy(model, worker.device));
    if (both.length === 0) return null;
    const waiting = await this.store.waitingModels();
    for (const model of both.filter(({ id }) => waiting.includes(id))) {
      const heads = await headsOf(this.store, model.id);
      const wanted = heads.filter(({ avoids }) => !avoids.includes(worker.qualifiedId));
      if (wanted.length > 0 && (await this.areMovedOn(wanted, model, worker))) return model.id;
    }
    return null;
  }

  private async areMovedOn(jobs: readonly Job[], model: ModelDescription, { device }: ReadyWorker): Promise<boolean> {
    for (const { avoids, request } of jobs) {
      if (avoids.length === 0 || !canRun(request, model, device)) return false;
      if ((await this.otherWorkers.countFirstChoicesBesides(avoids, model)) > 0) return false;
    }
    return true;
  }

  /** One that is out of reach takes jobs to tell so, where nobody else could run them. */
  private isOfUse(worker: ReadyWorker, model: ModelDescription): boolean {
    return this.isPresent(worker) || !this.present.some(({ device }) => isServedBy(model, device));
  }

  private isPresent({ qualifiedId }: ReadyWorker): boolean {
    return this.present.some(({ id }) => id === qualifiedId);
  }

  /** Null: a worker is there. */
  private takesOverInMs(): number | null {
    if (this.workersGoneSince === null) return null;
    return Math.max(0, this.workersGoneSince + this.config.takeOverMs - this.clock.now());
  }
}

function isRemote({ device }: Pick<ReadyWorker, 'device'>): boolean {
  return device.kind === 'remote';
}
