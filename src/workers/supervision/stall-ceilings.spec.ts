import { LearnedPace } from './learned-pace.js';
import { StallCeilings } from './stall-ceilings.js';

const SETTINGS = { stallTimeoutMs: 120_000, startTimeoutMs: 180_000 };
const DECODE = 'decode of a large picture';
const STEP = 'step of a large picture';
const HUNG = { upMs: 1000, outlasted: [DECODE] };

/** A life of an engine under these ceilings, in which rounds of this length end one after the other. */
function life(ceilings: StallCeilings, rounds: readonly (readonly [kind: string | null, ms: number])[] = []) {
  const pace = new LearnedPace({ floorMs: 10_000, lookIntervalMs: 1000, ceilings });
  rounds.forEach(([kind, loopAgeMs], index) => pace.see({ loopCount: index, loopAgeMs, kinds: [kind] }));
  pace.see({ loopCount: rounds.length, loopAgeMs: 0, kinds: [] });
  return pace;
}

describe('StallCeilings', () => {
  it('are those of the settings, and like a start for work of which nothing can be learned', () => {
    const ceilings = new StallCeilings(SETTINGS);
    expect([ceilings.plainMs, ceilings.of(DECODE), ceilings.of(null)]).toEqual([120_000, 120_000, 180_000]);
    const patient = new StallCeilings({ stallTimeoutMs: 500_000, startTimeoutMs: 180_000 });
    expect(patient.of(null)).toBe(500_000);
  });

  it('double with each life that one round ended, up to eight times, for that work only', () => {
    const ceilings = new StallCeilings(SETTINGS);
    const seen = [1, 2, 3, 4, 5].map(() => {
      ceilings.learn(HUNG);
      return ceilings.of(DECODE) / 120_000;
    });
    expect(seen).toEqual([2, 4, 8, 8, 8]);
    expect(ceilings.of(STEP)).toBe(120_000);
    ceilings.learn({ upMs: 1, outlasted: [null] });
    expect(ceilings.of(null)).toBe(360_000);
  });

  it('come back when a life ends otherwise, not when one never came up', () => {
    const ceilings = new StallCeilings(SETTINGS);
    ceilings.learn(HUNG);
    ceilings.learn({ upMs: 0, outlasted: [] });
    expect(ceilings.of(DECODE)).toBe(240_000);
    ceilings.learn({ upMs: 1, outlasted: [] });
    expect(ceilings.of(DECODE)).toBe(120_000);
  });

  it('follow a long round that ended rather than the guess', () => {
    const ceilings = new StallCeilings(SETTINGS);
    for (let hung = 0; hung < 3; hung += 1) ceilings.learn(HUNG);
    life(ceilings, [[DECODE, 150_000]]);
    expect(ceilings.of(DECODE)).toBe(300_000);
    // Shorter ones say nothing of the longest.
    life(ceilings, [[DECODE, 5000]]);
    expect(ceilings.of(DECODE)).toBe(300_000);
  });

  it('let a job through whose steps and decode are both too long, one kind after the other', () => {
    const ceilings = new StallCeilings(SETTINGS);
    ceilings.learn({ upMs: 1, outlasted: [STEP] });
    // The second step, too: no phase has come to an end yet.
    const second = life(ceilings, [[STEP, 130_000]]);
    expect(second.limitMs([STEP])).toBeGreaterThan(130_000);
    ceilings.learn({ upMs: 1, outlasted: [DECODE] });
    const third = life(ceilings);
    expect(third.limitMs([STEP])).toBeGreaterThan(130_000);
    expect(third.limitMs([DECODE])).toBe(240_000);
    third.learnEnd(STEP);
    expect(third.limitMs([STEP])).toBeLessThan(130_000);
  });

  it('keep only so many kinds', () => {
    const ceilings = new StallCeilings(SETTINGS);
    for (let kind = 0; kind < 600; kind += 1) ceilings.learn({ upMs: 1, outlasted: [`kind ${kind}`] });
    expect([ceilings.of('kind 1'), ceilings.of('kind 599')]).toEqual([120_000, 240_000]);
  });
});
