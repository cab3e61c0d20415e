import { canMove, isFinal, JOB_STATES } from './job-state.js';

describe('job states', () => {
  it('lead on from every state that is not final, and from no final one', () => {
    for (const from of JOB_STATES) {
      const onward = JOB_STATES.filter((to) => canMove(from, to));
      expect(onward.length === 0).toBe(isFinal(from));
    }
  });

  it('let only a running job succeed', () => {
    expect(JOB_STATES.filter((from) => canMove(from, 'succeeded'))).toEqual(['running']);
  });

  it('never lead back into running but from the queue', () => {
    expect(JOB_STATES.filter((from) => canMove(from, 'running'))).toEqual(['queued']);
  });
});
