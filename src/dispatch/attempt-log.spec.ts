import { AttemptLog } from './attempt-log.js';

const newLog = () => new AttemptLog({ attempt: 2, worker: 'cpu-0', device: 'cpu:0', steps: 20, degradations: [] });

describe('AttemptLog', () => {
  it('keeps phases with their times and the steps of denoising', () => {
    const log = newLog();
    log.note({ type: 'phase', phase: 'encode' }, 100);
    log.note({ type: 'phase', phase: 'denoise' }, 150);
    log.note({ type: 'step', step: 1, steps: 20 }, 200);
    log.note({ type: 'step', step: 2, steps: 20 }, 230);
    expect(log.record('failed', null, null, 240)).toMatchObject({
      worker: 'cpu-0',
      phase: 'denoise',
      step: 2,
      finishedAt: 240,
      phases: [
        { name: 'encode', startedAt: 100, finishedAt: 150, fromStep: null, toStep: null },
        { name: 'denoise', startedAt: 150, finishedAt: 240, fromStep: 0, toStep: 2 },
      ],
    });
  });

  it('stores progress at most ten times a second, but every phase and the last step', () => {
    const log = newLog();
    expect(log.note({ type: 'phase', phase: 'denoise' }, 0)?.events).toHaveLength(2);
    const noted = Array.from({ length: 20 }, (_, index) =>
      log.note({ type: 'step', step: index + 1, steps: 20 }, (index + 1) * 30),
    );
    expect(noted.flatMap((note) => (note === null ? [] : [note.progress.step]))).toEqual([4, 8, 12, 16, 20]);
  });

  it('tells a fraction that only grows and the time left at the pace so far', () => {
    const log = newLog();
    log.note({ type: 'phase', phase: 'denoise' }, 0);
    const half = log.note({ type: 'step', step: 10, steps: 20 }, 1000);
    const whole = log.note({ type: 'step', step: 20, steps: 20 }, 2000);
    const decode = log.note({ type: 'phase', phase: 'decode' }, 2010);
    const fractions = [half, whole, decode].map((note) => note?.progress.fraction ?? 0);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(half?.progress.etaMs).toBeGreaterThanOrEqual(1000);
    expect(half?.progress.etaMs).toBeLessThan(1300);
  });

  it("takes the worker's own times and peaks from its result", () => {
    const log = newLog();
    log.note({ type: 'phase', phase: 'denoise' }, 0);
    log.note({ type: 'step', step: 20, steps: 20 }, 900);
    const timing = {
      name: 'denoise' as const,
      startedAt: 5,
      finishedAt: 800,
      fromStep: null,
      toStep: null,
      peakMemoryBytes: 42,
    };
    log.note({ type: 'result', artifacts: [], phases: [timing], effective: {} }, 1000);
    expect(log.record('succeeded', null, null, 1001)).toMatchObject({
      peakMemoryBytes: 42,
      phases: [{ name: 'denoise', startedAt: 5, finishedAt: 800, fromStep: 0, toStep: 20 }],
    });
  });

  it('goes on at the step of its checkpoint, and tells the time left at the pace since', () => {
    const log = newLog();
    log.resumeAt(10);
    expect(log.note({ type: 'phase', phase: 'denoise' }, 0)?.progress.step).toBe(10);
    const half = log.note({ type: 'step', step: 15, steps: 20 }, 1000);
    // Five steps took a second, and five are left.
    expect(half?.progress.etaMs).toBeGreaterThanOrEqual(1000);
    expect(half?.progress.etaMs).toBeLessThan(1500);
    expect(log.record('failed', null, null, 1000)).toMatchObject({
      resumedFromStep: 10,
      step: 15,
      phases: [{ name: 'denoise', fromStep: 10, toStep: 15 }],
    });
  });

  it('believes the worker about where it went on', () => {
    const log = newLog();
    log.resumeAt(10);
    log.note({ type: 'result', artifacts: [], phases: [], effective: { resumed_at_step: 0 } }, 1000);
    expect(log.record('succeeded', null, null, 1000).resumedFromStep).toBeNull();
  });

  it('keeps the rungs it stood on and the memory there was', () => {
    const memory = { totalBytes: 8, freeBytes: 1, allocatedBytes: 6, reservedBytes: 7 };
    const degradations = [
      { rung: 'vae_tiling', fidelity: 'equivalent', cause: 'predicted', attempt: 2, at: 0 },
    ] as const;
    const log = new AttemptLog({ attempt: 2, worker: 'cpu-0', device: 'cpu:0', steps: 20, degradations });
    expect(log.record('failed', null, memory, 1)).toMatchObject({ degradations, memory });
  });
});
