import type { Failure } from '../domain/failure/failure.js';
import type { Progress } from '../domain/job/job.js';
import type { JobEventBody } from '../domain/job/job-event.js';
import type { Phase, PhaseTiming } from '../domain/job/phase.js';
import { progressAtPhase, progressAtStep } from '../domain/job/progress.js';
import type { AttemptRecord } from '../jobs/ports/job-store.port.js';
import type { AttemptEvent } from './ports/worker-pool.port.js';

/** Milliseconds between two stored progress events of a job: ten a second is as much as an eye follows. */
const PROGRESS_INTERVAL_MS = 100;

/** What is worth storing about an event. */
export interface ProgressNote {
  readonly progress: Progress;
  readonly events: readonly JobEventBody[];
}

/** What an attempt went through, from its events. Knows the time only as an argument. */
export class AttemptLog {
  private phases: PhaseTiming[] = [];
  private step = 0;
  private steps: number;
  private notedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly attempt: number,
    private readonly placement: { readonly worker: string; readonly device: string },
    requestedSteps: number,
  ) {
    this.steps = requestedSteps;
  }

  get phase(): Phase | null {
    return this.phases.at(-1)?.name ?? null;
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
            { type: 'phase', phase: event.phase, attempt: this.attempt },
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
        const progress = progressAtStep(event.step, event.steps, now - (denoise?.startedAt ?? now));
        return { progress, events: [{ type: 'progress', progress }] };
      }
      case 'result':
        // The worker measured its own phases, without the way the events took; steps are told by the events alone.
        this.phases = event.phases.map((timing) =>
          timing.name === 'denoise' ? { ...timing, fromStep: 0, toStep: this.step } : timing,
        );
        return null;
      case 'accepted':
      case 'preview':
      case 'failed':
      case 'cancelled':
      case 'checkpoint':
      case 'suspended':
        return null;
    }
  }

  record(outcome: AttemptRecord['outcome'], failure: Failure | null, now: number): AttemptRecord {
    this.closePhase(now);
    const peaks = this.phases.map((timing) => timing.peakMemoryBytes ?? 0);
    return {
      ...this.placement,
      finishedAt: now,
      phase: this.phase,
      step: this.step,
      outcome,
      failure,
      phases: this.phases,
      peakMemoryBytes: Math.max(0, ...peaks) || null,
      degradations: [],
      resumedFromStep: null,
    };
  }

  private closePhase(now: number): void {
    const open = this.phases.at(-1);
    if (open !== undefined && open.finishedAt === null)
      this.phases[this.phases.length - 1] = { ...open, finishedAt: now };
  }
}
