import type { StallCeilings } from './stall-ceilings.js';

/**
 * How often the longest round seen may fit into the limit. A forward of more images takes at most so many times longer as it
 * holds more of them, and where time grows that fast the engine's own caps stay small: eight covers what company adds.
 */
const FACTOR = 8;

/** Kinds of work remembered; a server that is asked for more sizes than these learns anew. */
const MOST_KINDS = 512;

/** Milliseconds. */
export interface PaceLimits {
  /** No limit is shorter: what a healthy engine may lose to a busy machine. */
  readonly floorMs: number;
  /** No limit is longer; they hold for what was never seen to end. */
  readonly ceilings: StallCeilings;
  /** Between two looks: a round may have been longer than it was seen to be by this much. */
  readonly lookIntervalMs: number;
}

/** What a look at the engine showed. */
export interface EngineSighting {
  /** Rounds since the start. */
  readonly loopCount: number;
  /** Since the last round began. */
  readonly loopAgeMs: number;
  /** What it may have been at; null: work of which one can learn nothing. */
  readonly kinds: readonly (string | null)[];
}

/**
 * How long one life of an engine may go without a round: learned from the rounds that ended, by kind of work. Only what ended
 * teaches: an engine that hangs must not stretch its own limit.
 */
export class LearnedPace {
  private readonly ended = new Set<string>();
  private readonly longest = new Map<string, number>();
  private last: EngineSighting | null = null;

  constructor(private readonly limits: PaceLimits) {}

  /** Work of this kind has come to an end once: the next is no surprise. */
  learnEnd(kind: string | null): void {
    if (kind === null) return;
    if (this.ended.size >= MOST_KINDS) this.forget();
    this.ended.add(kind);
  }

  /** Whether work of this kind has come to an end before. */
  knows(kind: string | null): boolean {
    return kind !== null && this.ended.has(kind);
  }

  see(sighting: EngineSighting): void {
    const { last } = this;
    this.last = sighting;
    if (last === null || sighting.loopCount <= last.loopCount) return;
    for (const kind of last.kinds) {
      this.limits.ceilings.noteEnd(kind, last.loopAgeMs);
      if (kind !== null) this.longest.set(kind, Math.max(this.longest.get(kind) ?? 0, last.loopAgeMs));
    }
  }

  /** Milliseconds an engine at such work may go without a round. */
  limitMs(kinds: readonly (string | null)[]): number {
    const { floorMs, ceilings } = this.limits;
    if (kinds.length === 0) return Math.min(floorMs, ceilings.plainMs);
    return Math.max(...kinds.map((kind) => this.limitOf(kind)));
  }

  /** Which of such work has a ceiling, and not only a limit that was learned, that a round of this age is beyond. */
  outlasted(kinds: readonly (string | null)[], ageMs: number): (string | null)[] {
    return kinds.filter((kind) => ageMs > this.limits.ceilings.of(kind));
  }

  private limitOf(kind: string | null): number {
    const { floorMs, ceilings, lookIntervalMs } = this.limits;
    const ceilingMs = ceilings.of(kind);
    if (kind === null || !this.knows(kind)) return ceilingMs;
    return Math.min(ceilingMs, Math.max(floorMs, FACTOR * ((this.longest.get(kind) ?? 0) + lookIntervalMs)));
  }

  private forget(): void {
    this.ended.clear();
    this.longest.clear();
  }
}
