import { AttemptLog } from './attempt-log.js';

const newLog = () => new AttemptLog(2, { worker: 'cpu-0', device: 'cpu:0' }, 20);

describe('AttemptLog', () => {
  it('keeps phases with their times and the steps of denoising', () => {
    const log = newLog();
    log.note({ type: 'phase', phase: 'encode' }, 100);
    log.note({ type: 'phase', phase: 'denoise' }, 150);
    log.note({ type: 'step', step: 1, steps: 20 }, 200);
    log.note({ type: 'step', step: 2, steps: 20 }, 230);
    expect(log.record('failed', null, 240)).toMatchObject({
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
    expect(log.record('succeeded', null, 1001)).toMatchObject({
      peakMemoryBytes: 42,
      phases: [{ name: 'denoise', startedAt: 5, finishedAt: 800, fromStep: 0, toStep: 20 }],
    });
  });
});
