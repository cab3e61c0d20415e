import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { jest } from '@jest/globals';

import { attemptRecord, claimer, newJob, NOON, progress } from '../../../test/support/jobs.js';
import { InProcessJobEvents } from '../../events/in-process-job-events.js';
import { SqliteJobStore } from '../../persistence/sqlite/sqlite-job-store.js';
import type { WatchItem } from './watch-job.js';
import { WatchJob } from './watch-job.js';

describe('WatchJob', () => {
  let folder: string;
  let store: SqliteJobStore;
  let events: InProcessJobEvents;
  let watch: WatchJob;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-watch-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    events = new InProcessJobEvents();
    watch = new WatchJob(store, events);
  });
  afterEach(async () => {
    jest.useRealTimers();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function submitted(): Promise<string> {
    const job = newJob();
    await store.insert([job], { maxWaiting: 10 }, null);
    return job.id;
  }
  async function play(): Promise<void> {
    const claimed = await store.claimNext([{ model: 'shapes', bonusMs: 0, maxPixels: null }], claimer(), NOON);
    if (claimed === null) throw new Error('nothing to claim');
    events.publish(claimed.events);
    const step = progress();
    events.publish(
      (await store.recordProgressIfClaimed(claimed.claim, step, [{ type: 'progress', progress: step }], NOON)).events,
    );
    const done = await store.completeIfClaimed(claimed.claim, attemptRecord(), { artifacts: [], effective: {} }, NOON);
    events.publish(done.events);
  }
  async function collect(id: string, afterSeq = 0, signal = new AbortController().signal): Promise<WatchItem[]> {
    const items: WatchItem[] = [];
    for await (const item of watch.follow(id, { afterSeq, previews: true, signal })) items.push(item);
    return items;
  }
  const typesOf = (items: WatchItem[]) =>
    items.map((item) => (item.kind === 'event' ? item.event.body.type : 'preview'));

  it('tells what happened before and what happens after, once each and in order', async () => {
    const id = await submitted();
    const following = collect(id);
    await play();
    const items = await following;
    expect(typesOf(items)).toEqual(['state', 'state', 'progress', 'state', 'final']);
    expect(items.map((item) => (item.kind === 'event' ? item.event.seq : 0))).toEqual([1, 2, 3, 4, 5]);
  });

  it('reads again when events of other nodes may have been missed', async () => {
    // Reading again after a while would hide it.
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
    const id = await submitted();
    // All that another node does is stored, and nothing of it is heard here.
    events.publish = () => undefined;
    const read = store.eventsAfter.bind(store);
    const firstRead = Promise.withResolvers<void>();
    store.eventsAfter = async (...args) => {
      const found = await read(...args);
      firstRead.resolve();
      return found;
    };
    const following = collect(id);
    await firstRead.promise;
    await play();
    events.publishGap();
    expect(typesOf(await following).at(-1)).toBe('final');
  });

  it('goes on after the event a client saw last', async () => {
    const id = await submitted();
    await play();
    expect(typesOf(await collect(id, 3))).toEqual(['state', 'final']);
  });

  it.each([5, 6, 1000])('ends at once for a final job when asked for what comes after event %d', async (afterSeq) => {
    const id = await submitted();
    await play();
    expect(await collect(id, afterSeq)).toEqual([]);
  });

  it('ends at once for a job that does not exist', async () => {
    expect(await collect('0190aaaa-0000-7000-8000-000000000001')).toEqual([]);
  });

  it('ends when nobody listens any more, and stops watching previews', async () => {
    const id = await submitted();
    const gone = new AbortController();
    const following = collect(id, 1, gone.signal);
    gone.abort();
    await following;
    expect(events.previewsWatched(id)).toBe(false);
  });

  it('waits for the end of a job, or until the caller has waited enough', async () => {
    const id = await submitted();
    expect((await watch.untilFinal(id, AbortSignal.abort()))?.state).toBe('queued');
    const waiting = watch.untilFinal(id, new AbortController().signal);
    await play();
    expect((await waiting)?.state).toBe('succeeded');
    expect(await watch.untilFinal('0190aaaa-0000-7000-8000-000000000001', AbortSignal.abort())).toBeNull();
  });
});
