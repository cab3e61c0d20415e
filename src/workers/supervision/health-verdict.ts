/** What is known of a worker's engine loop. Milliseconds. */
export interface LoopSighting {
  /** Since the loop last went round, as the worker told at its last answer. */
  readonly loopAgeMs: number;
  /** Since that answer. */
  readonly silentMs: number;
}

/** Milliseconds. */
export interface StallLimits {
  /** A round of the loop may take this long. */
  readonly roundMs: number;
  /** A process may leave a look without an answer for this long: another thread than the engine's answers. */
  readonly silenceMs: number;
}

/** An engine that stands still. */
export interface Stall {
  /** In words that go before "and it was killed". */
  readonly why: string;
  /** Work whose ceiling this round is beyond, in a process that answered all along; empty: that is not what was wrong. */
  readonly outlasted: readonly (string | null)[];
}

/** Whether an engine stands still, or nobody knows any more whether it does: the process is stopped, or its main thread stuck. */
export function isStalled(sighting: LoopSighting, limits: StallLimits): boolean {
  return msToVerdict(sighting, limits) < 0;
}

/** Milliseconds of further silence after which it counts as standing still; below 0: it does. */
export function msToVerdict({ loopAgeMs, silentMs }: LoopSighting, { roundMs, silenceMs }: StallLimits): number {
  return Math.min(roundMs - loopAgeMs - silentMs, silenceMs - silentMs);
}

/** What was wrong, with the setting to raise should nothing have been. */
export function describeStall(
  { loopAgeMs, silentMs }: LoopSighting,
  { roundMs, silenceMs }: StallLimits,
  isBeyondCeiling: boolean,
): string {
  if (silentMs > silenceMs) {
    return `its engine stood still, for all one knows (the process did not answer for ${seconds(silentMs)}; ${seconds(silenceMs)} are allowed)`;
  }
  const setting = isBeyondCeiling ? settingNamed('stall_timeout_ms') : settingNamed('stall_floor_ms');
  return (
    `its engine stood still for ${seconds(loopAgeMs + silentMs)} ` +
    `(a round may take ${seconds(roundMs)}; where healthy ones take longer, raise ${setting} above that)`
  );
}

function settingNamed(name: string): string {
  return `workers.${name} (SAFELIGHT_WORKERS_${name.toUpperCase()})`;
}

function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(1))} s`;
}
