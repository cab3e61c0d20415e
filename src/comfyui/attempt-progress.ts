import type { AttemptEvent } from '../dispatch/ports/worker-pool.port.js';
import type { Phase, PhaseTiming } from '../domain/job/phase.js';
import { PHASES } from '../domain/job/phase.js';
import type { Workflow } from './workflows/workflow.js';
import { phaseOf } from './workflows/workflow.js';

/**
 * What an attempt tells of a prompt on its way: phases go forward only, and steps count over all images as if they were made
 * together. Pure but for what it remembers; knows the time only as an argument.
 */
export class AttemptProgress {
  private readonly timings: PhaseTiming[] = [];
  private readonly sampled = new Set<string>();
  private node: string | null = null;
  private stepsDone = 0;

  constructor(
    private readonly workflow: Workflow,
    /** Per image. */
    private readonly steps: number,
  ) {}

  get phase(): Phase | null {
    return this.timings.at(-1)?.name ?? null;
  }

  /** Steps done, as the last event of that kind told. */
  get step(): number {
    return this.stepsDone;
  }

  /** With the one that goes on ended at `now`. */
  timingsAt(now: number): readonly PhaseTiming[] {
    return this.timings.map((timing) => ({ ...timing, finishedAt: timing.finishedAt ?? now }));
  }

  /** Nodes whose results were there already. */
  skip(nodes: readonly string[]): void {
    for (const node of nodes) if (this.workflow.samplers.includes(node)) this.sampled.add(node);
  }

  /** A node begins, so that the one before it has ended. */
  begin(node: string, now: number): readonly AttemptEvent[] {
    if (this.node !== null && this.node !== node && this.workflow.samplers.includes(this.node))
      this.sampled.add(this.node);
    this.node = node;
    const phase = phaseOf(this.workflow.graph, node);
    if (phase === null) return [];
    // Between two images that are sampled lies the decoding of the first.
    const isEarly = phase === 'decode' && this.sampled.size < this.workflow.samplers.length;
    return isEarly ? [] : this.enter(phase, now);
  }

  /** A node has done `value` of `max`. */
  advance(node: string, value: number, max: number, now: number): readonly AttemptEvent[] {
    const begun = node === this.node ? [] : this.begin(node, now);
    if (!this.workflow.samplers.includes(node)) return begun;
    const others = [...this.sampled].filter((done) => done !== node).length;
    const share = Math.min(1, value / max);
    const step = Math.floor(((others + share) / this.workflow.samplers.length) * this.steps);
    if (step <= this.stepsDone) return begun;
    this.stepsDone = step;
    return [...begun, { type: 'step', step, steps: this.steps }];
  }

  /** What comes after the last node: `save`. */
  enter(phase: Phase, now: number): readonly AttemptEvent[] {
    const current = this.timings.at(-1);
    if (current !== undefined && PHASES.indexOf(phase) <= PHASES.indexOf(current.name)) return [];
    if (current !== undefined) this.timings[this.timings.length - 1] = { ...current, finishedAt: now };
    const facts = { finishedAt: null, fromStep: null, toStep: null, peakMemoryBytes: null };
    this.timings.push({ name: phase, startedAt: now, ...facts });
    return [{ type: 'phase', phase }];
  }
}
