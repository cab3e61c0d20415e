import type { JobEvent } from '../domain/job/job-event.js';
import { InProcessJobEvents } from './in-process-job-events.js';

const event = (jobId: string, seq: number): JobEvent => ({
  jobId,
  seq,
  at: 0,
  body: { type: 'state', state: 'queued', attempt: 0 },
});
const frame = (jobId: string) => ({ jobId, step: 1, mediaType: 'image/jpeg', data: new Uint8Array(1) });

describe('InProcessJobEvents', () => {
  it('tells listeners of a job about that job only, until they leave', () => {
    const events = new InProcessJobEvents();
    const heard: number[] = [];
    const leave = events.onJob('a', ({ seq }) => heard.push(seq));
    events.publish([event('a', 1), event('b', 2)]);
    leave();
    events.publish([event('a', 3)]);
    expect(heard).toEqual([1]);
  });

  it('says when the first watcher of previews comes and the last one goes', () => {
    const events = new InProcessJobEvents();
    const told: boolean[] = [];
    events.onPreviewsWatched('a', (watched) => told.push(watched));
    const leaveFirst = events.onPreview('a', () => undefined);
    const leaveSecond = events.onPreview('a', () => undefined);
    leaveFirst();
    leaveFirst();
    expect(events.previewsWatched('a')).toBe(true);
    leaveSecond();
    expect(told).toEqual([true, false]);
    expect(events.previewsWatched('a')).toBe(false);
  });

  it('keeps the latest frame until the job is final', () => {
    const events = new InProcessJobEvents();
    events.publishPreview(frame('a'));
    expect(events.latestPreview('a')).toEqual(frame('a'));
    events.publish([{ ...event('a', 9), body: { type: 'final' } }]);
    expect(events.latestPreview('a')).toBeNull();
  });
});
