import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import type { WorkersConfig } from '../../config/workers.config.js';
import type { Phase } from '../../domain/job/phase.js';
import type { WorkerHealth } from '../client/mapping.js';
import type { WorkerClient } from '../client/worker-client.js';
import type { WatchedAttempts } from './watched-attempts.js';
import type { Stall, StallLimits } from './health-verdict.js';
import { describeStall, isStalled, msToVerdict } from './health-verdict.js';
import type { LearnedPace } from './learned-pace.js';

/** Longest a look waits for its answer, in milliseconds. At the default floor two have to fail, so that one lost is no death. */
const LOOK_TIMEOUT_MS = 5000;

export interface HealthWatchOptions {
  readonly client: WorkerClient;
  readonly config: WorkersConfig;
  readonly attempts: WatchedAttempts;
  readonly pace: LearnedPace;
  /** Whether somebody has stopped the process, as far as the system tells. */
  readonly isStopped: () => boolean;
  /** Called with each answer. */
  readonly onHealth: (health: WorkerHealth) => void;
  readonly log: Logger;
}

/** Looks at a worker again and again, and says when its engine stands still. */
export class HealthWatch {
  private loopAgeMs = 0;
  private silentMs = 0;
  private isStopped = false;
  private phase: Phase | null = null;
  private listed: readonly string[] = [];
  private models: readonly string[] = [];

  constructor(private readonly options: HealthWatchOptions) {}

  /** Resolves when the engine stands still; with null when the signal aborts. */
  async untilStalled(signal: AbortSignal): Promise<Stall | null> {
    const { config } = this.options;
    for (;;) {
      await wait(config.healthIntervalMs, undefined, { ref: false, signal }).catch(() => undefined);
      if (signal.aborted) return null;
      await this.look();
      if (signal.aborted) return null;
      const { loopAgeMs, silentMs, limits } = this;
      if (isStalled({ loopAgeMs, silentMs }, limits)) return this.stall(limits);
    }
  }

  private stall(limits: StallLimits): Stall {
    const { pace, log } = this.options;
    const { loopAgeMs, silentMs, isStopped, phase, kinds } = this;
    // Only an answer proves that the process lives: silence says nothing of how long rounds are.
    const outlasted = silentMs === 0 ? pace.outlasted(kinds, loopAgeMs) : [];
    const why = describeStall({ loopAgeMs, silentMs }, limits, outlasted.length > 0);
    log.error({ loopAgeMs, silentMs, ...limits, phase, isStopped }, `${why}; the worker is killed`);
    return { why, outlasted };
  }

  private async look(): Promise<void> {
    const { client, config, isStopped, log } = this.options;
    const { loopAgeMs, silentMs, limits } = this;
    const leftMs = msToVerdict({ loopAgeMs, silentMs }, limits);
    const timeoutMs = Math.min(LOOK_TIMEOUT_MS, Math.max(config.healthIntervalMs, leftMs));
    const beganAt = performance.now();
    let health: WorkerHealth;
    try {
      health = await client.health(timeoutMs);
    } catch (error) {
      // Counted as it was meant to be, not by the clock: who was stopped himself has heard nothing meanwhile.
      this.silentMs += config.healthIntervalMs + Math.min(timeoutMs, performance.now() - beganAt);
      this.isStopped = isStopped();
      log.debug({ err: error }, 'worker did not answer');
      return;
    }
    this.hear(health, beganAt);
  }

  private hear(health: WorkerHealth, beganAt: number): void {
    const { attempts, pace, onHealth } = this.options;
    const { loopCount, loopAgeMs } = health;
    this.silentMs = 0;
    this.isStopped = false;
    this.loopAgeMs = loopAgeMs;
    this.phase = health.phase;
    this.listed = health.attemptIds;
    this.models = health.models;
    pace.see({ loopCount, loopAgeMs, kinds: this.kinds });
    attempts.callRoll({ listed: this.listed, loopCount, beganAt });
    onHealth(health);
  }

  /** What the engine may be at. A model it loads for no attempt is work of which one can learn nothing. */
  private get kinds(): readonly (string | null)[] {
    const kinds = this.options.attempts.kinds(this.phase, this.listed);
    return kinds.length === 0 && this.phase === 'load' ? [null] : kinds;
  }

  /**
   * While weights may be read from a disk, whoever reads them may hold up the thread that answers, too. That goes for every
   * moment in which an attempt waits for a model that is not there, whatever phase the last answer told: the engine begins to
   * load as soon as another attempt has ended, and may then be heard of neither this nor that end. Only a process that the
   * system says is stopped cannot be loading.
   */
  private get limits(): StallLimits {
    const { config, attempts, pace } = this.options;
    const { startTimeoutMs, stallTimeoutMs, stallFloorMs } = config;
    const roundMs = pace.limitMs(this.kinds);
    const silenceMs = Math.min(stallFloorMs, stallTimeoutMs);
    if (this.phase !== 'load' && !attempts.mayLoad(this.models)) return { roundMs, silenceMs };
    const loadMs = Math.max(startTimeoutMs, stallTimeoutMs);
    return { roundMs: Math.max(loadMs, roundMs), silenceMs: this.isStopped ? silenceMs : loadMs };
  }
}
