import type { Degradation } from '../domain/degradation/degradation.js';
import type { Failure } from '../domain/failure/failure.js';
import type { Progress } from '../domain/job/job.js';
import type { JobEventBody } from '../domain/job/job-event.js';
import type { Phase, PhaseTiming } from '../domain/job/phase.js';
import { progressAtPhase, progressAtStep } from '../domain/job/progress.js';
import type { WorkerMemory } from '../domain/placement/worker-description.js';
import type { AttemptRecord } from '../jobs/ports/job-store.port.js';
import type { AttemptEvent } from './ports/worker-pool.port.js';

/** Milliseconds between two stored progress events of a job: ten a second is as much as an eye follows. */
const PROGRESS_INTERVAL_MS = 100;

/** What is worth storing about an event. */
export interface ProgressNote {
  readonly progress: Progress;
  readonly events: readonly JobEventBody[];
}

/** What is known of an attempt before it begins. */
export interface AttemptFacts {
  /** Number of the attempt. */
  readonly attempt: number;
  readonly worker: string;
  readonly device: string;
  /** Steps asked for. */
  readonly steps: number;
  /** Rungs it stands on. */
  readonly degradations: readonly Degradation[];
}

/** What an attempt went through, from its events. Knows the time only as an argument. */
export class AttemptLog {
  private phases: PhaseTiming[] = [];
  private step = 0;
  private steps: number;
  private resumedFromStep: number | null = null;
  private notedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly facts: AttemptFacts) {
    this.steps = facts.steps;
  }

  get phase(): Phase | null {
    return this.phases.at(-1)?.name ?? null;
  }

  /** It goes on from a checkpoint of this step; called before its first event. */
  resumeAt(step: number): void {
    this.resumedFromStep = step;
    this.step = step;
  }

  /** Takes in an event; returns what to store about it, or null when it is too soon after the last. */
  note(event: AttemptEvent, now: number): ProgressNote | null {
    switch (event.type) {
      case 'phase': {
        this.closePhase(now);
        const fromStep = event.phase === 'denoise' ? this.step : null;
        this.phases.push({
          name: event.phase,
          startedAt: now,
          finishedAt: null,
          fromStep,
          toStep: fromStep,
          peakMemoryBytes: null,
        });
        this.notedAt = now;
        const progress = progressAtPhase(event.phase, this.step, this.steps);
        return {
          progress,
          events: [
            { type: 'phase', phase: event.phase, attempt: this.facts.attempt },
            { type: 'progress', progress },
          ],
        };
      }
      case 'step': {
        this.step = event.step;
        this.steps = event.steps;
        const denoise = this.phases.at(-1);
        if (denoise?.name === 'denoise') this.phases[this.phases.length - 1] = { ...denoise, toStep: event.step };
        if (now - this.notedAt < PROGRESS_INTERVAL_MS && event.step < event.steps) return null;
        this.notedAt = now;
        const elapsedMs = this.asFromTheBeginning(now - (denoise?.startedAt ?? now));
        const progress = progressAtStep(event.step, event.steps, elapsedMs);
        return { progress, events: [{ type: 'progress', progress }] };
      }
      case 'result': {
        const resumedAt = event.effective['resumed_at_step'];
        if (typeof resumedAt === 'number') this.resumedFromStep = resumedAt > 0 ? resumedAt : null;
        // The worker measured its own phases, without the way the events took; steps are told by the events alone.
        this.phases = event.phases.map((timing) =>
          timing.name === 'denoise' ? { ...timing, fromStep: this.resumedFromStep ?? 0, toStep: this.step } : timing,
        );
        return null;
      }
      case 'accepted':
      case 'preview':
      case 'failed':
      case 'cancelled':
      case 'checkpoint':
      case 'suspended':
        return null;
    }
  }

  /** `memory`: of the device, as its worker last told. */
  record(
    outcome: AttemptRecord['outcome'],
    failure: Failure | null,
    memory: WorkerMemory | null,
    now: number,
  ): AttemptRecord {
    this.closePhase(now);
    const peaks = this.phases.map((timing) => timing.peakMemoryBytes ?? 0);
    const { worker, device, degradations } = this.facts;
    return {
      worker,
      device,
      finishedAt: now,
      phase: this.phase,
      step: this.step,
      outcome,
      failure,
      phases: this.phases,
      peakMemoryBytes: Math.max(0, ...peaks) || null,
      degradations,
      resumedFromStep: this.resumedFromStep,
      memory,
    };
  }

  /** What denoising would have taken by now, had all steps been made at the pace of those since the checkpoint. */
  private asFromTheBeginning(elapsedMs: number): number {
    const made = this.step - (this.resumedFromStep ?? 0);
    return made > 0 ? (elapsedMs / made) * this.step : elapsedMs;
  }

  private closePhase(now: number): void {
    const open = this.phases.at(-1);
    if (open !== undefined && open.finishedAt === null)
      this.phases[this.phases.length - 1] = { ...open, finishedAt: now };
  }
}
