import type { Backoff } from '../../domain/failure/retry-policy.js';
import { backoffMs } from '../../domain/failure/retry-policy.js';

/** A worker that was up this long is taken to be well: its next death is the first again. */
const WELL_AFTER_MS = 60_000;

/** When a dead worker is started again. The first restart after a good while is immediate: jobs wait for it. */
export class RestartPolicy {
  private earlyDeaths = 0;

  constructor(private readonly backoff: Backoff) {}

  /**
   * Milliseconds to wait after a death.
   *
   * @param upMs how long it had been ready; 0: it never was
   * @param random in [0, 1)
   */
  delayAfterDeath(upMs: number, random: number): number {
    if (upMs >= WELL_AFTER_MS) this.earlyDeaths = 0;
    this.earlyDeaths += 1;
    return this.earlyDeaths === 1 ? 0 : backoffMs(this.backoff, this.earlyDeaths - 2, random);
  }
}
