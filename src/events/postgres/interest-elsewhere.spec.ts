import { jest } from '@jest/globals';

import { InProcessJobEvents } from '../in-process-job-events.js';
import { InterestElsewhere } from './interest-elsewhere.js';

describe('InterestElsewhere', () => {
  let events: InProcessJobEvents;
  let interest: InterestElsewhere;

  beforeEach(() => {
    jest.useFakeTimers();
    events = new InProcessJobEvents();
    interest = new InterestElsewhere((jobId) => events.onPreview(jobId, () => undefined));
  });

  afterEach(() => {
    interest.stop();
    jest.useRealTimers();
  });

  it('keeps previews on while a node repeats itself, and lets go of one that has gone silent', () => {
    interest.heard('node-b', ['a'], true);
    jest.advanceTimersByTime(14_000);
    interest.heard('node-b', ['a'], true);
    jest.advanceTimersByTime(14_000);
    expect(events.previewsWatched('a')).toBe(true);
    jest.advanceTimersByTime(6_000);
    expect(events.previewsWatched('a')).toBe(false);
    expect(interest.has('a')).toBe(false);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('lasts as long as the last of several nodes', () => {
    interest.heard('node-b', ['a'], true);
    interest.heard('node-c', ['a'], true);
    interest.heard('node-b', ['a'], false);
    expect(events.previewsWatched('a')).toBe(true);
    interest.heard('node-c', ['a'], false);
    expect(events.previewsWatched('a')).toBe(false);
  });

  it('is not disturbed by a node that leaves what it never watched', () => {
    interest.heard('node-b', ['a'], true);
    interest.heard('node-c', ['a', 'b'], false);
    expect(events.previewsWatched('a')).toBe(true);
    expect(events.previewsWatched('b')).toBe(false);
  });

  it('ends with the node it belongs to', () => {
    interest.heard('node-b', ['a', 'b'], true);
    interest.stop();
    expect(events.previewsWatched('a')).toBe(false);
    expect(jest.getTimerCount()).toBe(0);
  });
});
