/** By how much the settings are exceeded at most: a round that takes longer is taken to hang. */
const MOST_TIMES = 8;

/** Kinds of work remembered; beyond them all are as the settings say. */
const MOST_KINDS = 512;

/** Milliseconds, of the settings. */
export interface CeilingSettings {
  readonly stallTimeoutMs: number;
  readonly startTimeoutMs: number;
}

/** What of an ended life tells how long rounds may take. */
export interface LifeOfRounds {
  /** How long it was ready, in milliseconds; 0: it never was, and has had no rounds. */
  readonly upMs: number;
  /** It was ended for a round of this work, longer than its ceiling, while the process still answered. Empty: otherwise. */
  readonly outlasted: readonly (string | null)[];
}

/**
 * How long a round may take while nothing better is known of its kind of work. Held by a worker for all of its lives: a life
 * that was ended for one long round, in a process that answered all along, allows that kind twice the time in those that
 * follow. Else a legitimate round that is longer than the settings would end every life, and its job with the third.
 */
export class StallCeilings {
  private readonly raised = new Map<string | null, number>();

  constructor(private readonly settings: CeilingSettings) {}

  /** Milliseconds, of the settings alone. */
  get plainMs(): number {
    return this.settings.stallTimeoutMs;
  }

  /** Milliseconds a round of such work may take. */
  of(kind: string | null): number {
    return this.raised.get(kind) ?? this.given(kind);
  }

  /** A round of such work has ended: its length, when it is beyond the settings, takes the place of what was guessed. */
  noteEnd(kind: string | null, ms: number): void {
    // Of what is compiled anew for each shape the next round may be longer than any before.
    if (kind !== null && ms > this.given(kind)) this.raise(kind, 2 * ms);
  }

  /** A life that never was ready says nothing; one that ended otherwise takes everything back. */
  learn({ upMs, outlasted }: LifeOfRounds): void {
    if (outlasted.length === 0 && upMs > 0) this.raised.clear();
    for (const kind of outlasted) this.raise(kind, 2 * this.of(kind));
  }

  private raise(kind: string | null, ms: number): void {
    if (this.raised.size >= MOST_KINDS && !this.raised.has(kind)) this.raised.clear();
    this.raised.set(kind, Math.min(ms, MOST_TIMES * this.given(kind)));
  }

  /** Work of which nothing can be learned, such as compiling in the midst of it, is like a start. */
  private given(kind: string | null): number {
    const { stallTimeoutMs, startTimeoutMs } = this.settings;
    return kind === null ? Math.max(startTimeoutMs, stallTimeoutMs) : stallTimeoutMs;
  }
}
