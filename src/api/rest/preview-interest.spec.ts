import { jest } from '@jest/globals';

import { InProcessJobEvents } from '../../events/in-process-job-events.js';
import { PreviewInterest } from './preview-interest.js';

describe('PreviewInterest', () => {
  const events = new InProcessJobEvents();
  let interest: PreviewInterest;
  beforeEach(() => {
    jest.useFakeTimers();
    interest = new PreviewInterest(events);
  });
  afterEach(() => {
    interest.onModuleDestroy();
    jest.useRealTimers();
  });

  it('lasts a few seconds after the last poll', () => {
    interest.show('a');
    jest.advanceTimersByTime(4_000);
    interest.show('a');
    jest.advanceTimersByTime(4_000);
    expect(events.previewsWatched('a')).toBe(true);
    jest.advanceTimersByTime(1_000);
    expect(events.previewsWatched('a')).toBe(false);
  });

  it('ends with the server', () => {
    interest.show('a');
    interest.onModuleDestroy();
    expect(events.previewsWatched('a')).toBe(false);
  });
});
