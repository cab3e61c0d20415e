import { maySee, NO_LIMITS } from './caller.js';
import { clientBound } from './client-bound.js';
import { ROLES } from './role.js';

describe('who sees a job', () => {
  it.each([
    ['operator', 'mine', true],
    ['operator', 'theirs', true],
    ['user', 'mine', true],
    ['user', 'theirs', false],
    ['monitor', 'mine', false],
    ['monitor', 'theirs', false],
  ] as const)('%s asks for one of %s: %s', (role, client, expected) => {
    expect(ROLES).toContain(role);
    expect(maySee({ client: 'mine', role, limits: NO_LIMITS }, { client })).toBe(expected);
  });
});

describe('what a submission takes of a share', () => {
  const NOON = Date.UTC(2026, 10, 21, 12, 0, 30);

  it('is nothing without limits', () => {
    expect(clientBound('ci', NO_LIMITS, { jobs: 3, images: 12 }, NOON)).toBeUndefined();
  });

  it('counts jobs by the minute and pictures by the day of UTC', () => {
    const limits = { maxUnfinishedJobs: 4, maxJobsPerMinute: 10, maxImagesPerDay: 100 };
    expect(clientBound('ci', limits, { jobs: 3, images: 12 }, NOON)).toEqual({
      client: 'ci',
      maxUnfinished: 4,
      spans: [
        { span: 'minute', startsAt: Date.UTC(2026, 10, 21, 12, 0, 0), adds: 3, max: 10 },
        { span: 'day', startsAt: Date.UTC(2026, 10, 21), adds: 12, max: 100 },
      ],
    });
  });
});
