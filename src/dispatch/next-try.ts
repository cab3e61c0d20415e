import { Injectable } from '@nestjs/common';

import { RetryConfig } from '../config/retry.config.js';
import type { Decision } from '../domain/failure/decide-next.js';
import { decideNext, killsIn, spentAttempts } from '../domain/failure/decide-next.js';
import type { Failure } from '../domain/failure/failure.js';
import type { Outcome } from '../domain/placement/footprint.js';
import { RUNG_NAMES } from '../domain/degradation/degradation.js';
import { nextRung } from '../domain/degradation/ladder.js';
import { largestPixels } from '../domain/placement/predict.js';
import type { NextTry } from '../jobs/ports/job-store.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import type { AttemptOutline, PlannedAttempt } from './attempt-outline.js';
import { rungsOf } from './attempt-outline.js';
import { Footprints } from './footprints.js';
import type { AttemptInFlight } from './in-flight.js';
import { OtherWorkers } from './other-workers.js';
import { DeviceLeases } from './ports/device-leases.port.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';

/** What becomes of a job whose attempt failed, ready to be written. */
export type Sequel =
  | { readonly action: 'return'; readonly failure: Failure }
  | { readonly action: 'retry'; readonly next: NextTry; readonly decision: Decision | 'misplaced' }
  | { readonly action: 'end'; readonly state: 'failed' | 'expired' | 'cancelled'; readonly failure: Failure };

/** Gathers what the decision about a failed attempt rests on, and puts its answer into the words of the store. */
@Injectable()
export class NextTries {
  constructor(
    private readonly store: JobStore,
    private readonly otherWorkers: OtherWorkers,
    private readonly footprints: Footprints,
    private readonly leases: DeviceLeases,
    private readonly retry: RetryConfig,
  ) {}

  async after(attempt: AttemptInFlight, outline: AttemptOutline, why: Failure, now: number): Promise<Sequel> {
    const { claim, job } = attempt.claimed;
    const current = (await this.store.get(job.id)) ?? job;
    const attempts = current.attempts.map((one) =>
      one.number === claim.attempt ? { ...one, outcome: 'failed' as const, failure: why } : one,
    );
    const outOfMemory = why.kind === 'device_out_of_memory' && 'plan' in outline;
    if (outOfMemory) this.learn(attempt, outline, why);
    const ways = {
      rung: outOfMemory ? nextRung(outline.plan, why.phase, outline.acceptance, outline.terms) : null,
      // It was sent away from here before, and is back because nobody else came: there is nobody else.
      otherWorkers: job.avoids.includes(attempt.worker.qualifiedId)
        ? 0
        : await this.otherWorkers.countBesides(besides(job.avoids, attempt), outline.model),
    };
    const failed = {
      failure: why,
      countedAttempts: spentAttempts(attempts, why),
      kills: killsIn(attempts),
      wasSolo: job.solo,
      besideOtherModels: this.isBesideOtherModels(attempt),
      cancelRequested: current.cancelRequestedAt !== null,
      msToDeadline: job.request.finish_by === null ? null : job.request.finish_by - now,
    };
    const { backoffBaseMs: baseMs, backoffCapMs: capMs } = this.retry;
    const decision = decideNext(failed, ways, { baseMs, capMs }, Math.random());
    return carriedOut(decision, attempt, outline, this.withOtherCauses(why, attempt, outline), now);
  }

  /** Where a model that ComfyUI could draw as well is to be had from nobody, it says why from nobody. */
  private withOtherCauses(why: Failure, { worker }: AttemptInFlight, { model }: AttemptOutline): Failure {
    if (why.kind !== 'model_unavailable' || model === null || model.comfyui === null) return why;
    const others = this.otherWorkers.reasonsAgainst(model, worker.qualifiedId);
    return others.length === 0 ? why : { ...why, message: [why.message, ...others].join('; ') };
  }

  /** The attempt succeeded, which tells what fits. */
  noteFit({ worker }: AttemptInFlight, outline: AttemptOutline): void {
    const tried = 'plan' in outline ? triedOn(worker, outline) : null;
    if (tried !== null && 'plan' in outline) this.footprints.learnFit(outline.model, worker.device.kind, tried);
  }

  /** The worker was not even asked: it is known to be too small, and there are others. */
  elsewhere(attempt: AttemptInFlight, why: Failure): Sequel {
    const { job } = attempt.claimed;
    const { degradations, solo } = job;
    const avoids = besides(job.avoids, attempt);
    const next = { runAt: null, failure: why, degradations, solo, avoids, keepCheckpoint: true };
    return { action: 'retry', next, decision: 'misplaced' };
  }

  /**
   * What the plan is to blame for, not its company: attempts of the same model share its weights and run one forward at a
   * time, those of others take room that the plan was promised.
   */
  private learn(attempt: AttemptInFlight, outline: PlannedAttempt, { phase }: Failure): void {
    const tried = triedOn(attempt.worker, outline);
    if (tried === null || phase === null || this.isBesideOtherModels(attempt)) return;
    this.footprints.learnOverrun(outline.model, attempt.worker.device.kind, { ...tried, phase });
  }

  private isBesideOtherModels({ claimed, worker }: AttemptInFlight): boolean {
    const { model } = claimed.job.request;
    return this.leases.reservations(worker.device.id).some((reservation) => reservation.model !== model);
  }
}

/** What an attempt showed of a device, whichever way it ended; null: nothing is known of the device. */
function triedOn({ budgetBytes }: ReadyWorker, { degradations, plan }: PlannedAttempt): Outcome | null {
  if (budgetBytes === null) return null;
  const taken = rungsOf(degradations);
  return { rungs: RUNG_NAMES.filter((rung) => taken.includes(rung)), pixels: plan.width * plan.height, budgetBytes };
}

function carriedOut(
  decision: Decision,
  attempt: AttemptInFlight,
  outline: AttemptOutline,
  why: Failure,
  now: number,
): Sequel {
  const { claim, job } = attempt.claimed;
  const { avoids, solo } = job;
  const { degradations } = outline;
  const unchanged = { failure: why, degradations, avoids, solo };
  const later = (delayMs: number) => (delayMs > 0 ? now + delayMs : null);
  switch (decision.action) {
    case 'return':
      return { action: 'return', failure: why };
    case 'end':
      return { action: 'end', state: decision.state, failure: withLargestSize(why, outline, attempt) };
    case 'retry': {
      const { delayMs, keepCheckpoint } = decision;
      const next = { ...unchanged, runAt: later(delayMs), solo: solo || decision.solo, keepCheckpoint };
      return { action: 'retry', next, decision };
    }
    case 'degrade': {
      const { rung, fidelity, keepCheckpoint } = decision;
      const taken = { rung, fidelity, cause: why.kind, attempt: claim.attempt, at: now };
      const next = { ...unchanged, runAt: null, degradations: [...degradations, taken], keepCheckpoint };
      return { action: 'retry', next, decision };
    }
    case 'relocate': {
      const { delayMs, keepCheckpoint } = decision;
      const next = {
        ...unchanged,
        runAt: later(delayMs),
        avoids: besides(avoids, attempt),
        keepCheckpoint,
      };
      return { action: 'retry', next, decision };
    }
  }
}

function besides(avoids: readonly string[], { worker }: AttemptInFlight): string[] {
  return [...new Set([...avoids, worker.qualifiedId])];
}

/** A job that ends for want of memory says what would have fitted. */
function withLargestSize(why: Failure, outline: AttemptOutline, { worker }: AttemptInFlight): Failure {
  if (why.kind !== 'device_out_of_memory' || !('plan' in outline)) return why;
  const { plan, footprint, terms } = outline;
  if (footprint === null || worker.budgetBytes === null) return why;
  const pixels = largestPixels(plan, footprint, worker.budgetBytes);
  if (pixels >= plan.width * plan.height) return why;
  const side = Math.floor(Math.sqrt(pixels) / terms.sizeMultiple) * terms.sizeMultiple;
  const fits = side > 0 ? `the largest size expected to fit there is about ${side}x${side}` : 'no size fits there';
  return { ...why, message: `${why.message}; ${fits}` };
}
