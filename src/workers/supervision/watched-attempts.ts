import type { AttemptEvent } from '../../dispatch/ports/worker-pool.port.js';
import { isTerminal } from '../../dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { Phase } from '../../domain/job/phase.js';
import { kindOfWork } from './kind-of-work.js';
import type { LearnedPace } from './learned-pace.js';

/** Looks in a row that miss an attempt before it is given up. */
const MISSES = 2;

/**
 * Looks that find the engine going round with an attempt that was left, after which nobody waits for it any more. A tick ends
 * with its round; what is listed beyond that is being written, or a defect.
 */
const LINGERS = 30;

/** What a look at a worker showed. */
export interface RollCall {
  /** Attempts the worker says it has. */
  readonly listed: readonly string[];
  /** Rounds of its engine. */
  readonly loopCount: number;
  /** When the look began, in milliseconds of a clock that only goes forward. */
  readonly beganAt: number;
}

/** An attempt that is with a worker, as far as its events tell. */
export class WatchedAttempt {
  phase: Phase | null = null;
  step = 0;
  private accepted = false;
  private isOver = false;
  private waitsSince: number | null = null;
  private misses = 0;
  private readonly forgetting = new AbortController();

  constructor(
    readonly plan: ExecutionPlan,
    private readonly pace: LearnedPace,
  ) {}

  /** Aborts when the worker has forgotten it, or is taken to be dead. */
  get forgotten(): AbortSignal {
    return this.forgetting.signal;
  }

  /** Whether the worker may still be at it: it has told neither how it ended nor that it does not have it. */
  get mayGoOn(): boolean {
    return !this.isOver && !this.forgotten.aborted;
  }

  /** From now on the next event is waited for. @param now milliseconds of a clock that only goes forward */
  wait(now: number): void {
    this.waitsSince = now;
  }

  hear(event: AttemptEvent): void {
    this.waitsSince = null;
    this.misses = 0;
    if (event.type === 'accepted') this.accepted = true;
    if (isTerminal(event)) this.isOver = true;
    if (event.type === 'phase') {
      this.learnEnd();
      this.phase = event.phase;
    }
    if (event.type === 'step') this.step = event.step;
    if (event.type === 'result') this.learnEnd();
  }

  /** What the engine may be at for it, when it says to be in a phase. What was told may lag behind. */
  kinds(enginePhase: Phase | null): (string | null)[] {
    if (!this.accepted) return [];
    const phases = new Set([this.phase ?? 'encode', enginePhase ?? this.phase ?? 'encode']);
    return [...phases].map((phase) => kindOfWork(this.plan, phase));
  }

  /** Whether weights may be read from a disk for it, as far as the models on the device tell. */
  mayLoad(models: readonly string[]): boolean {
    if (!this.accepted) return false;
    const { model, loras, inputs } = this.plan;
    // Past its load the model is there, though the last look may have come before.
    if (this.phase === 'load' || (this.phase === null && !models.includes(model.id))) return true;
    const addOns = loras.length + inputs.controls.length + (inputs.ipAdapter === null ? 0 : 1);
    return addOns > 0 && !this.pace.knows(kindOfWork(this.plan, 'encode'));
  }

  /**
   * A look that began at a time did or did not list it. Counted only while its next event was waited for all along: else how
   * it ended may lie unread in the stream.
   */
  listed(is: boolean, lookBeganAt: number): void {
    if (is || !this.accepted) this.misses = 0;
    else if (this.waitsSince !== null && this.waitsSince <= lookBeganAt) this.misses += 1;
    if (this.misses >= MISSES) this.forget();
  }

  forget(): void {
    this.forgetting.abort();
  }

  /** Not after a step: a whole call that is one tick has something long to come after its last one. */
  private learnEnd(): void {
    if (this.phase !== null) this.pace.learnEnd(kindOfWork(this.plan, this.phase));
  }
}

/** An attempt we follow no more, while the worker has not let go of it. */
interface LeftAttempt {
  readonly at: number;
  readonly loopCount: number;
  /** Looks that found the engine further than the one before. */
  readonly rounds: number;
}

/** All attempts that are with one life of a worker. */
export class WatchedAttempts {
  private readonly attempts = new Map<string, WatchedAttempt>();
  private readonly left = new Map<string, LeftAttempt>();
  private areAbandoned = false;

  constructor(private readonly pace: LearnedPace) {}

  /** Whether the device may still be at work for an attempt that was left: what comes now would wait for it, or die with it. */
  get isOccupied(): boolean {
    return this.left.size > 0;
  }

  begin(plan: ExecutionPlan): WatchedAttempt {
    const attempt = new WatchedAttempt(plan, this.pace);
    this.attempts.set(plan.attemptId, attempt);
    if (this.areAbandoned) attempt.forget();
    return attempt;
  }

  /** Nothing is to be expected of the worker any more. */
  abandon(): void {
    this.areAbandoned = true;
    for (const attempt of this.attempts.values()) attempt.forget();
  }

  /** Nobody follows it any more. @param now milliseconds of a clock that only goes forward */
  end({ plan, mayGoOn }: WatchedAttempt, now: number): void {
    this.attempts.delete(plan.attemptId);
    if (mayGoOn) this.left.set(plan.attemptId, { at: now, loopCount: 0, rounds: 0 });
  }

  /** What the engine may be at. An attempt it lists and we left behind may take it as long as it likes. */
  kinds(enginePhase: Phase | null, listed: readonly string[]): (string | null)[] {
    const strangers = listed.some((id) => !this.attempts.has(id));
    const known = [...this.attempts.values()].flatMap((attempt) => attempt.kinds(enginePhase));
    return [...new Set(strangers ? [...known, null] : known)];
  }

  /** Whether weights may be read from a disk at any moment, as far as the models on the device tell. */
  mayLoad(models: readonly string[]): boolean {
    return [...this.attempts.values()].some((attempt) => attempt.mayLoad(models));
  }

  callRoll({ listed, loopCount, beganAt }: RollCall): void {
    for (const [id, attempt] of this.attempts) attempt.listed(listed.includes(id), beganAt);
    for (const [id, left] of this.left) {
      if (beganAt < left.at) continue;
      const rounds = left.rounds + (loopCount > left.loopCount ? 1 : 0);
      if (!listed.includes(id) || rounds > LINGERS) this.left.delete(id);
      else this.left.set(id, { ...left, loopCount, rounds });
    }
  }
}
