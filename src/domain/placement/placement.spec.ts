import { modelDescription } from '../../../test/support/api.js';
import { newJob } from '../../../test/support/jobs.js';
import type { RungName } from '../degradation/degradation.js';
import { LADDER, ladderTerms, onRungs } from '../degradation/ladder.js';
import type { ExecutionPlan } from '../generation/execution-plan.js';
import { planFor } from '../generation/execution-plan.js';
import type { GenerationRequest } from '../generation/generation-request.js';
import { estimateFootprint } from './estimate-footprint.js';
import type { ModelFootprint, Outcome } from './footprint.js';
import { learnFit, learnOverrun } from './footprint.js';
import { rungsAhead } from './plan-ahead.js';
import { forwardBytes, largestPixels, peakBytes } from './predict.js';
import type { RunningAttempt } from './preemption.js';
import { choosePreempted } from './preemption.js';
import { roomFor } from './room.js';

const MB = 1e6;
const NOW = 1_000_000_000;
const HOUR_MS = 3_600_000;
const MODEL = modelDescription({ components: { text_encoder: 250 * MB, unet: 1700 * MB, vae: 170 * MB } });
const TERMS = ladderTerms(MODEL);
const REDUCED = { maxDegradation: 'reduced', exact: false } as const;

/** As a worker would measure Stable Diffusion 1.5 in 16 bits. */
const SD: ModelFootprint = {
  model: 'shapes',
  deviceKind: 'cuda',
  dtype: 'float16',
  weightsBytes: 2120 * MB,
  components: { text_encoder: 250 * MB, unet: 1700 * MB, vae: 170 * MB },
  phases: [
    { phase: 'encode', fixedBytes: 20 * MB, bytesPerPixel: 0, measured: true },
    { phase: 'denoise', fixedBytes: 50 * MB, bytesPerPixel: 260, measured: true },
    { phase: 'decode', fixedBytes: 50 * MB, bytesPerPixel: 1536, measured: true },
  ],
  overruns: [],
};

function planOf(request: Partial<GenerationRequest> = {}): ExecutionPlan {
  return planFor(newJob({ request: { width: 512, height: 512, ...request } }), 1, MODEL, {
    stagingDir: '',
    solo: false,
    resumeFrom: null,
    previewIntervalMs: 0,
    checkpointIntervalMs: 0,
    inputPath: () => '',
  });
}

const ahead = (plan: ExecutionPlan, budgetBytes: number | null, footprint: ModelFootprint | null = SD) =>
  rungsAhead({ plan, footprint, budgetBytes, acceptance: REDUCED, terms: TERMS, now: NOW });

describe('the prediction of a plan', () => {
  it('is the weights on the device and the forward of its worst phase', () => {
    const decode = 50 * MB + 1536 * 512 * 512;
    expect(forwardBytes(planOf(), SD)).toBe(decode);
    expect(peakBytes(planOf(), SD)).toBe(2120 * MB + decode);
  });

  it('grows with the picture and with the batch', () => {
    const sizes = [64, 256, 512, 1024].map((side) => peakBytes(planOf({ width: side, height: side }), SD));
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
    expect(new Set(sizes).size).toBe(4);
    expect(peakBytes(planOf({ num_images: 4 }), SD)).toBeGreaterThan(peakBytes(planOf(), SD));
  });

  it.each(LADDER.map(({ name }) => name))('is not raised by a rung: %s', (rung) => {
    for (const request of [{}, { num_images: 4 }, { width: 1024, height: 1024 }, { width: 64, height: 64 }]) {
      const plan = planOf(request);
      expect(peakBytes(onRungs(plan, [rung], TERMS), SD)).toBeLessThanOrEqual(peakBytes(plan, SD));
    }
  });

  it('counts a component in its own phase only, once it comes for that', () => {
    const phased = onRungs(planOf(), ['phase_residency'], TERMS);
    expect(peakBytes(phased, SD)).toBe(1700 * MB + 50 * MB + 2 * 260 * 512 * 512);
  });

  it('says what would fit', () => {
    const plan = planOf({ width: 2048, height: 2048 });
    const pixels = largestPixels(plan, SD, 3000 * MB);
    const side = Math.floor(Math.sqrt(pixels));
    expect(peakBytes(planOf({ width: side, height: side }), SD)).toBeLessThanOrEqual(3000 * MB);
    expect(peakBytes(planOf({ width: side + 8, height: side + 8 }), SD)).toBeGreaterThan(3000 * MB);
    expect(largestPixels(plan, SD, 1000 * MB)).toBe(0);
  });
});

describe('rungs taken ahead', () => {
  it('are none where the plan fits, or where nothing is known', () => {
    expect(ahead(planOf(), 8000 * MB)).toEqual({ rungs: [], fits: true });
    expect(ahead(planOf(), 1, null)).toEqual({ rungs: [], fits: true });
    expect(ahead(planOf(), null)).toEqual({ rungs: [], fits: true });
  });

  it('are no more than it takes', () => {
    expect(ahead(planOf(), 2400 * MB)).toEqual({ rungs: ['vae_tiling'], fits: true });
    expect(ahead(planOf(), 2000 * MB).fits).toBe(true);
    const { rungs } = ahead(planOf(), 2000 * MB);
    expect(peakBytes(onRungs(planOf(), rungs.slice(0, -1), TERMS), SD)).toBeGreaterThan(2000 * MB);
  });

  it('are all there are where nothing helps, and it says so', () => {
    const { rungs, fits } = ahead(planOf(), 100 * MB);
    expect(fits).toBe(false);
    expect(rungs).toContain('lower_resolution');
  });

  it('stop at what the request accepts', () => {
    const none = { maxDegradation: 'none', exact: false } as const;
    const plan = { plan: planOf(), footprint: SD, budgetBytes: 2000 * MB, acceptance: none, terms: TERMS, now: NOW };
    expect(rungsAhead(plan)).toEqual({ rungs: [], fits: false });
  });

  describe('after overruns', () => {
    const overrun = (rungs: readonly RungName[]) => ({
      rungs,
      pixels: 512 * 512,
      budgetBytes: 8000 * MB,
      phase: 'decode' as const,
    });
    const twice = (footprint: ModelFootprint, rungs: readonly RungName[], at = NOW) =>
      learnOverrun(learnOverrun(footprint, overrun(rungs), at), overrun(rungs), at);
    const known = twice(SD, []);

    it('are one more for the like, and none for smaller pictures or larger devices', () => {
      expect(ahead(planOf(), 8000 * MB, known)).toEqual({ rungs: ['vae_tiling'], fits: true });
      expect(ahead(planOf({ width: 256 }), 8000 * MB, known)).toEqual({ rungs: [], fits: true });
      expect(ahead(planOf(), 9000 * MB, known)).toEqual({ rungs: [], fits: true });
    });

    it('are none after one, which may be chance, nor when the last is long ago', () => {
      expect(ahead(planOf(), 8000 * MB, learnOverrun(SD, overrun([]), NOW))).toEqual({ rungs: [], fits: true });
      expect(ahead(planOf(), 8000 * MB, twice(SD, [], NOW - HOUR_MS))).toEqual({ rungs: [], fits: true });
    });

    it('are none for a plan that stands on a rung already which that one had not', () => {
      const tiled = onRungs(planOf(), ['vae_tiling'], TERMS);
      expect(ahead(tiled, 8000 * MB, known)).toEqual({ rungs: [], fits: true });
      expect(ahead(tiled, 8000 * MB, twice(known, ['vae_tiling']))).toEqual({ rungs: ['phase_residency'], fits: true });
    });
  });
});

describe('what is learned of overruns', () => {
  const overrun = { rungs: [], pixels: 100, budgetBytes: 10, phase: 'decode' as const };

  it('counts the same one, and tells others apart', () => {
    const one = learnOverrun(SD, overrun, 1);
    expect(learnOverrun(one, overrun, 2).overruns).toEqual([{ ...overrun, times: 2, at: 2 }]);
    expect(learnOverrun(one, { ...overrun, pixels: 50 }, 2).overruns).toHaveLength(2);
    expect(learnOverrun(one, { ...overrun, phase: 'denoise' }, 2).overruns).toHaveLength(2);
  });

  it('is taken back by one that fitted where it should not have', () => {
    const one = learnOverrun(SD, overrun, 1);
    const fits = (fit: Partial<Outcome>) => learnFit(one, { rungs: [], pixels: 100, budgetBytes: 10, ...fit });
    expect(fits({}).overruns).toEqual([]);
    expect(fits({ pixels: 200, budgetBytes: 5 }).overruns).toEqual([]);
    expect(fits({ pixels: 99 })).toBe(one);
    expect(fits({ budgetBytes: 11 })).toBe(one);
    expect(fits({ rungs: ['vae_tiling'] })).toBe(one);
  });

  it('stays bounded', () => {
    let footprint = SD;
    for (let n = 1; n < 100; n++) footprint = learnOverrun(footprint, { ...overrun, pixels: n, budgetBytes: n }, n);
    expect(footprint.overruns.length).toBeLessThanOrEqual(32);
  });
});

describe('room beside others', () => {
  const other = { model: 'other', weightsBytes: 4000 * MB, peakBytes: 500 * MB };
  const own = { model: 'shapes', weightsBytes: SD.weightsBytes, peakBytes: 450 * MB };
  const room = (budgetBytes: number | null, reservations: (typeof other)[], footprint: ModelFootprint | null = SD) =>
    roomFor({ model: { id: 'shapes' }, footprint, budgetBytes, reservations });

  it('is there on a device that has nothing to do, and where nothing is known', () => {
    expect(room(1, [])).toEqual({ fits: true, maxPixels: null });
    expect(room(null, [other])).toEqual({ fits: true, maxPixels: null });
    expect(room(1, [other], null)).toEqual({ fits: true, maxPixels: null });
  });

  it('is there beside attempts of the same model, which share its weights', () => {
    expect(room(1, [own, own])).toEqual({ fits: true, maxPixels: null });
  });

  it('is what is left of the budget by the weights of all models, each once', () => {
    const { fits, maxPixels } = room(7000 * MB, [other, other]);
    expect(fits).toBe(true);
    const forward = 50 * MB + 1536 * (maxPixels ?? 0);
    expect(forward).toBeLessThanOrEqual(7000 * MB - 4000 * MB - 2120 * MB);
    expect(forward + 1536).toBeGreaterThan(7000 * MB - 4000 * MB - 2120 * MB);
  });

  it('is not there where weights, or the forwards of the others, leave none', () => {
    expect(room(6000 * MB, [other]).fits).toBe(false);
    expect(room(6500 * MB, [other]).fits).toBe(false);
  });
});

describe('the first footprint', () => {
  it('is estimated from the sizes of the files', () => {
    const footprint = estimateFootprint(MODEL, 'cuda');
    expect(footprint).toMatchObject({ weightsBytes: 2120 * MB, dtype: 'float16', overruns: [] });
    expect(footprint?.phases.every(({ measured }) => !measured)).toBe(true);
  });

  it('is not made up where the files do not tell', () => {
    expect(estimateFootprint(modelDescription({ components: { unet: null } }), 'cuda')).toBeNull();
    expect(estimateFootprint(modelDescription({ components: {} }), 'cuda')).toBeNull();
  });
});

describe('choosePreempted', () => {
  const running = (attemptId: string, priority: RunningAttempt['priority'], sortAt: number): RunningAttempt => ({
    attemptId,
    jobId: attemptId,
    worker: 'cpu-0',
    priority,
    sortAt,
    startedAt: 0,
  });
  const urgent = { request: { priority: 'urgent' as const } };

  it('takes the least urgent class, and of it the last in the order', () => {
    const all = [running('a', 'low', 1), running('b', 'low', 2), running('c', 'normal', 9), running('d', 'urgent', 99)];
    expect(choosePreempted(all, urgent)?.attemptId).toBe('b');
    expect(choosePreempted(all.slice(2), urgent)?.attemptId).toBe('c');
  });

  it('leaves urgent ones alone', () => {
    expect(choosePreempted([running('d', 'urgent', 99)], urgent)).toBeNull();
    expect(choosePreempted([], urgent)).toBeNull();
  });
});
