import type { JobEvent, JobEventBody, PreviewFrame } from '../../src/domain/job/job-event.js';
import type { ClosableJobEvents } from '../../src/events/closable-job-events.js';
import type { EventOrigin } from '../../src/jobs/ports/job-events.port.js';
import { eventually } from '../support/signals.js';

/** Where something is published and where it is heard: the same place, or two nodes. */
export interface Ends {
  readonly there: ClosableJobEvents;
  readonly here: ClosableJobEvents;
}

export function jobEvent(jobId: string, seq: number, body: JobEventBody = stateOf('queued')): JobEvent {
  return { jobId, seq, at: 0, body };
}

export function stateOf(state: 'queued' | 'running'): JobEventBody {
  return { type: 'state', state, attempt: 0 };
}

export function progressAt(step: number): JobEventBody {
  return { type: 'progress', progress: { phase: 'denoise', step, steps: 100, fraction: step / 100, etaMs: null } };
}

/** A frame as large as workers may send. */
export function frameOf(jobId: string, step = 1, bytes = 65_536): PreviewFrame {
  return { jobId, step, mediaType: 'image/jpeg', data: Uint8Array.from({ length: bytes }, (_, at) => at * step) };
}

/** Resolves once `listener` has heard everything that was published at `publisher` so far: the order is kept. */
export async function allHeard({ there, here }: Ends): Promise<void> {
  const fence = `fence-${crypto.randomUUID()}`;
  const heard = Promise.withResolvers<void>();
  const leave = here.onJob(fence, () => heard.resolve());
  there.publish([jobEvent(fence, 1)]);
  await heard.promise;
  leave();
}

const until = (what: string, holds: () => boolean) => eventually(what, async () => holds() || null);

/** What every JobEvents keeps, whether both ends are one object or two nodes. */
export function describeJobEvents(name: string, open: () => Promise<Ends>, origin: EventOrigin): void {
  describe(`${name} as JobEvents`, () => {
    let ends: Ends;

    beforeEach(async () => {
      ends = await open();
    });

    afterEach(async () => {
      await ends.there.close();
      await ends.here.close();
    });

    it('tells listeners of a job about that job only, until they leave', async () => {
      const heard: number[] = [];
      const leave = ends.here.onJob('a', ({ seq }) => heard.push(seq));
      ends.there.publish([jobEvent('a', 1), jobEvent('b', 2)]);
      await allHeard(ends);
      leave();
      leave();
      ends.there.publish([jobEvent('a', 3)]);
      await allHeard(ends);
      expect(heard).toEqual([1]);
    });

    it('tells whoever hears everything each event once, in order, as it was, with where it came from', async () => {
      const events = Array.from({ length: 500 }, (_, at) => jobEvent(`job-${at % 7}`, at + 1));
      const heard: [JobEvent, EventOrigin][] = [];
      ends.here.onAny((event, from) => heard.push([event, from]));
      ends.there.publish(events);
      await allHeard(ends);
      expect(heard.slice(0, 500)).toEqual(events.map((event) => [event, origin]));
      expect(heard).toHaveLength(501);
    });

    it.each<JobEventBody>([
      { type: 'phase', phase: 'decode', attempt: 2 },
      progressAt(3),
      { type: 'degradation', rung: 'vae_tiling', fidelity: 'equivalent', cause: 'predicted' },
      { type: 'artifact', index: 0, sha256: 'ab'.repeat(32), seed: '9223372036854775807' },
      { type: 'state', state: 'succeeded', attempt: 1 },
      { type: 'final' },
    ])('carries $type', async (body) => {
      const heard: JobEvent[] = [];
      ends.here.onJob('a', (event) => heard.push(event));
      ends.there.publish([jobEvent('a', 4, body)]);
      await allHeard(ends);
      expect(heard).toEqual([jobEvent('a', 4, body)]);
    });

    it('carries a wish to cancel to all who listen, and to none who left', async () => {
      const heard: string[] = [];
      ends.here.onCancel((jobId) => heard.push(`first ${jobId}`));
      const leave = ends.here.onCancel((jobId) => heard.push(`second ${jobId}`));
      ends.there.publishCancel('a');
      await allHeard(ends);
      leave();
      ends.there.publishCancel('b');
      await allHeard(ends);
      expect(heard).toEqual(['first a', 'second a', 'first b']);
    });

    it('tells who makes previews when the first watcher comes and when the last one goes', async () => {
      const told: boolean[] = [];
      ends.there.onPreviewsWatched('a', (watched) => told.push(watched));
      const leaveFirst = ends.here.onPreview('a', () => undefined);
      const leaveSecond = ends.here.onPreview('a', () => undefined);
      await until('the watcher is known', () => ends.there.previewsWatched('a'));
      leaveFirst();
      leaveFirst();
      await allHeard({ there: ends.here, here: ends.there });
      expect(ends.there.previewsWatched('a')).toBe(true);
      expect(ends.there.previewsWatched('b')).toBe(false);
      leaveSecond();
      await until('nobody watches', () => !ends.there.previewsWatched('a'));
      expect(told).toEqual([true, false]);
    });

    it('brings the frames of a job to its watchers, bit for bit, and keeps the latest', async () => {
      const heard: PreviewFrame[] = [];
      ends.here.onPreview('a', (frame) => heard.push(frame));
      await until('the watcher is known', () => ends.there.previewsWatched('a'));
      for (const step of [1, 2]) {
        ends.there.publishPreview(frameOf('b', step));
        ends.there.publishPreview(frameOf('a', step));
        await until('the frame comes', () => heard.length === step);
      }
      expect(heard.map((frame) => ({ ...frame, data: Buffer.from(frame.data) }))).toEqual(
        [1, 2].map((step) => ({ ...frameOf('a', step), data: Buffer.from(frameOf('a', step).data) })),
      );
      expect(ends.here.latestPreview('a')?.step).toBe(2);
      expect(ends.here.latestPreview('never')).toBeNull();
    });

    it('drops the latest frame of a job that is final', async () => {
      ends.here.onPreview('a', () => undefined);
      await until('the watcher is known', () => ends.there.previewsWatched('a'));
      ends.there.publishPreview(frameOf('a', 1, 0));
      await until('the frame comes', () => ends.here.latestPreview('a') !== null);
      ends.there.publish([jobEvent('a', 9, { type: 'final' })]);
      await allHeard(ends);
      expect(ends.here.latestPreview('a')).toBeNull();
    });

    it('says of no gap while there is none', async () => {
      let gaps = 0;
      ends.here.onGap(() => (gaps += 1));
      ends.there.publish([jobEvent('a', 1)]);
      await allHeard(ends);
      expect(gaps).toBe(0);
    });

    it('is closed twice without harm, and silent to the others from then on', async () => {
      await ends.there.close();
      await ends.there.close();
      expect(() => {
        ends.there.publish([jobEvent('a', 1)]);
        ends.there.publishCancel('a');
        ends.there.publishPreview(frameOf('a'));
      }).not.toThrow();
    });
  });
}
