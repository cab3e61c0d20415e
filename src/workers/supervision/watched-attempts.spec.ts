import { generationRequest } from '../../../test/support/jobs.js';
import { modelDescription } from '../../../test/support/api.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import { planFor } from '../../domain/generation/execution-plan.js';
import { kindOfWork } from './kind-of-work.js';
import { LearnedPace } from './learned-pace.js';
import { StallCeilings } from './stall-ceilings.js';
import { WatchedAttempts } from './watched-attempts.js';

const PLACEMENT = {
  stagingDir: '/staging',
  solo: false,
  resumeFrom: null,
  previewIntervalMs: 0,
  checkpointIntervalMs: 0,
  inputPath: () => '',
};

function plan(changes: Partial<ExecutionPlan> = {}): ExecutionPlan {
  const made = planFor({ id: 'job', request: generationRequest({}) }, 1, modelDescription({}), PLACEMENT);
  return { ...made, ...changes };
}

function begun(changes: Partial<ExecutionPlan> = {}) {
  const ceilings = new StallCeilings({ stallTimeoutMs: 1000, startTimeoutMs: 1000 });
  const pace = new LearnedPace({ floorMs: 10, ceilings, lookIntervalMs: 0 });
  const attempts = new WatchedAttempts(pace);
  const attempt = attempts.begin(plan(changes));
  const listed = [attempt.plan.attemptId];
  const look = (ids: readonly string[], beganAt: number, loopCount = 0) =>
    attempts.callRoll({ listed: ids, loopCount, beganAt });
  return { pace, attempts, attempt, listed, look };
}

describe('what an engine may be at', () => {
  it('is nothing for an attempt it has not accepted', () => {
    const { attempts, attempt, listed } = begun();
    expect(attempts.kinds(null, [])).toEqual([]);
    attempt.hear({ type: 'accepted' });
    expect(attempts.kinds(null, listed)).toEqual([kindOfWork(attempt.plan, 'encode')]);
    expect(attempts.kinds('decode', listed)).toEqual([
      kindOfWork(attempt.plan, 'encode'),
      kindOfWork(attempt.plan, 'decode'),
    ]);
    attempts.end(attempt, 0);
    expect(attempts.kinds(null, [])).toEqual([]);
  });

  it('is unknown for an attempt it holds and we left behind', () => {
    const { attempts, attempt } = begun();
    attempts.end(attempt, 0);
    expect(attempts.kinds(null, ['job/1'])).toEqual([null]);
  });

  it('is learned from phases that were passed', () => {
    const { pace, attempt } = begun();
    const knows = () =>
      (['encode', 'denoise', 'decode'] as const).filter((phase) => pace.knows(kindOfWork(attempt.plan, phase)));
    attempt.hear({ type: 'accepted' });
    attempt.hear({ type: 'phase', phase: 'encode' });
    expect(knows()).toEqual([]);
    attempt.hear({ type: 'phase', phase: 'denoise' });
    expect(knows()).toEqual(['encode']);
    attempt.hear({ type: 'step', step: 1, steps: 4 });
    expect(knows()).toEqual(['encode']);
    attempt.hear({ type: 'phase', phase: 'decode' });
    expect(knows()).toEqual(['encode', 'denoise']);
    attempt.hear({ type: 'result', artifacts: [], phases: [], effective: {} });
    expect(knows()).toEqual(['encode', 'denoise', 'decode']);
  });

  it('differs by size, weights and memory, not by prompt, and is not learned where models are compiled', () => {
    const known = kindOfWork(plan(), 'denoise');
    expect(kindOfWork(plan({ prompt: 'another', seeds: ['9'] }), 'denoise')).toBe(known);
    expect(kindOfWork(plan({ width: 1024 }), 'denoise')).not.toBe(known);
    expect(kindOfWork(plan(), 'decode')).not.toBe(known);
    expect(kindOfWork(plan({ loras: [{ id: 'a', source: '/a', weight: 1 }] }), 'denoise')).not.toBe(known);
    expect(kindOfWork(plan({ memory: { ...plan().memory, vaeTiling: 'tiled' } }), 'denoise')).not.toBe(known);
    expect(kindOfWork(plan({ model: { ...plan().model, compile: true } }), 'denoise')).toBeNull();
  });

  it('may be reading weights while a model is not there, or something beside it is new', () => {
    const { attempts, attempt } = begun();
    const { id } = attempt.plan.model;
    expect(attempts.mayLoad([])).toBe(false);
    attempt.hear({ type: 'accepted' });
    expect([attempts.mayLoad([]), attempts.mayLoad([id])]).toEqual([true, false]);
    attempt.hear({ type: 'phase', phase: 'encode' });
    expect(attempts.mayLoad([])).toBe(false);
    const added = begun({ loras: [{ id: 'a', source: '/a', weight: 1 }] });
    added.attempt.hear({ type: 'accepted' });
    expect(added.attempts.mayLoad([id])).toBe(true);
    added.attempt.hear({ type: 'phase', phase: 'encode' });
    added.attempt.hear({ type: 'phase', phase: 'denoise' });
    expect(added.attempts.mayLoad([id])).toBe(false);
  });
});

describe('an attempt the worker does not list', () => {
  it('is forgotten after two looks in a row', () => {
    const { attempt, listed, look } = begun();
    attempt.hear({ type: 'accepted' });
    attempt.wait(0);
    look([], 1);
    look(listed, 2);
    look([], 3);
    expect(attempt.forgotten.aborted).toBe(false);
    look([], 4);
    expect(attempt.forgotten.aborted).toBe(true);
  });

  it('is not forgotten before it was accepted', () => {
    const { attempt, look } = begun();
    attempt.wait(0);
    for (const at of [1, 2, 3]) look([], at);
    expect(attempt.forgotten.aborted).toBe(false);
  });

  it('is not forgotten while what it told last is still being dealt with', () => {
    const { attempt, look } = begun();
    attempt.hear({ type: 'accepted' });
    for (const at of [1, 2, 3]) look([], at);
    // Looks that began before the next event was waited for say nothing either.
    attempt.wait(10);
    for (const at of [8, 9]) look([], at);
    expect(attempt.forgotten.aborted).toBe(false);
  });
});

describe('attempts of a worker that is given up', () => {
  it('are all left, and so is one that comes after', () => {
    const { attempts, attempt: before } = begun();
    const ended = attempts.begin(plan({ attemptId: 'ended' }));
    attempts.end(ended, 0);
    attempts.abandon();
    expect(
      [before, ended, attempts.begin(plan({ attemptId: 'after' }))].map(({ forgotten }) => forgotten.aborted),
    ).toEqual([true, false, true]);
  });
});

describe('an attempt that is left', () => {
  it('occupies the worker until a look that began later does not find it', () => {
    const { attempts, attempt, listed, look } = begun();
    attempt.hear({ type: 'accepted' });
    expect(attempts.isOccupied).toBe(false);
    attempts.end(attempt, 10);
    look([], 9);
    look(listed, 11);
    expect(attempts.isOccupied).toBe(true);
    look([], 12);
    expect(attempts.isOccupied).toBe(false);
  });

  it.each<[string, (attempt: ReturnType<typeof begun>['attempt']) => void]>([
    ['has told how it ended', (attempt) => attempt.hear({ type: 'cancelled' })],
    ['has forgotten it', (attempt) => attempt.forget()],
  ])('does not when the worker %s', (_, settle) => {
    const { attempts, attempt } = begun();
    attempt.hear({ type: 'accepted' });
    settle(attempt);
    attempts.end(attempt, 10);
    expect(attempts.isOccupied).toBe(false);
  });

  it('occupies it for ever in a round that does not end, not where the engine goes round', () => {
    const { attempts, attempt, listed, look } = begun();
    attempts.end(attempt, 0);
    for (let at = 1; at < 100; at += 1) look(listed, at, 7);
    expect(attempts.isOccupied).toBe(true);
    for (let at = 100; at < 129; at += 1) look(listed, at, at);
    expect(attempts.isOccupied).toBe(true);
    look(listed, 130, 130);
    expect(attempts.isOccupied).toBe(false);
  });
});
