import type { Backoff } from '../../domain/failure/retry-policy.js';
import { backoffMs } from '../../domain/failure/retry-policy.js';

/** A worker that was up this long is taken to be well: its next death is the first again. */
const WELL_AFTER_MS = 60_000;

/** Early deaths in a row after which trying again soon is taken to be of no use. */
const BREAKS_AFTER = 5;

/** A life of a worker that has ended. */
export interface PastLife {
  /** How long it was ready, in milliseconds; 0: it never was. */
  readonly upMs: number;
  /** Attempts that gave a result in it: one that works is not in a loop of crashes, however often somebody kills it. */
  readonly results: number;
}

export interface Restart {
  readonly delayMs: number;
  /** Deaths in a row without having been well, this one included. */
  readonly earlyDeaths: number;
  /** It dies again and again: only a trial now and then is worth it. */
  readonly isBroken: boolean;
}

/** When a dead worker is started again. The first restart after a good while is immediate: jobs wait for it. */
export class RestartPolicy {
  private earlyDeaths = 0;

  /** @param trialEveryMs between trials of a worker that dies again and again */
  constructor(
    private readonly backoff: Backoff,
    private readonly trialEveryMs: number,
  ) {}

  /** @param random in [0, 1) */
  afterDeath({ upMs, results }: PastLife, random: number): Restart {
    if (upMs >= WELL_AFTER_MS || results > 0) this.earlyDeaths = 0;
    this.earlyDeaths += 1;
    const { earlyDeaths } = this;
    if (earlyDeaths >= BREAKS_AFTER) return { delayMs: this.trialEveryMs, earlyDeaths, isBroken: true };
    const delayMs = earlyDeaths === 1 ? 0 : backoffMs(this.backoff, earlyDeaths - 2, random);
    return { delayMs, earlyDeaths, isBroken: false };
  }
}
