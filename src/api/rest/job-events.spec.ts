import { createParser } from 'eventsource-parser';

import type { AnyJson, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { progress } from '../../../test/support/jobs.js';
import { parseExactJson } from '../http/json/exact-json.js';

interface Told {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: AnyJson;
}

describe('GET /v1/jobs/{id}/events', () => {
  let api: RunningApi;
  let id: string;
  beforeEach(async () => {
    api = await startApi();
    id = ((await api.post('/v1/jobs', { prompt: 'x', seed: 7 })).json as { id: string }).id;
  });
  afterEach(() => api.close());

  /** Opens a stream; `next` resolves with the next event, or null when the stream has ended. */
  async function open(query = '', headers: Record<string, string> = {}) {
    const abort = new AbortController();
    const response = await fetch(`${api.url}/v1/jobs/${id}/events${query}`, { headers, signal: abort.signal });
    const told: Told[] = [];
    const parser = createParser({
      onEvent: (event) => told.push({ id: event.id, event: event.event, data: parseExactJson(event.data) }),
    });
    const chunks = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const next = async (): Promise<Told | null> => {
      while (told.length === 0) {
        const chunk = await chunks?.read();
        if (chunk === undefined || chunk.done) return null;
        parser.feed(chunk.value);
      }
      return told.shift() ?? null;
    };
    const rest = async () => {
      const all: Told[] = [];
      for (let event = await next(); event !== null; event = await next()) all.push(event);
      return all;
    };
    return { response, next, rest, abort: () => abort.abort() };
  }

  async function runThrough(): Promise<void> {
    const claim = await api.claim();
    const body = { type: 'progress', progress: progress() } as const;
    const events = [{ type: 'phase', phase: 'denoise', attempt: 1 } as const, body];
    api.events.publish((await api.store.recordProgressIfClaimed(claim, progress(), events, Date.now())).events);
    await api.succeed(claim);
  }

  it('tells what happens while it happens, and ends after `final`', async () => {
    const stream = await open();
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await stream.next()).toEqual({ id: '1', event: 'state', data: { state: 'queued', attempt: 0 } });
    await runThrough();
    const rest = await stream.rest();
    expect(rest.map(({ event }) => event)).toEqual(['state', 'phase', 'progress', 'artifact', 'state', 'final']);
    expect(rest.map((one) => Number(one.id))).toEqual([2, 3, 4, 5, 6, 7]);
    expect(rest[1]?.data).toEqual({ phase: 'denoise', attempt: 1 });
    expect(rest[2]?.data).toEqual({ phase: 'denoise', step: 7, steps: 20, fraction: 0.41, eta_ms: 900 });
    expect(rest[3]?.data).toEqual({
      index: 0,
      url: `/v1/jobs/${id}/artifacts/0`,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      seed: 9223372036854775807n,
    });
    expect(rest.at(-1)?.data).toEqual({ job: (await api.get(`/v1/jobs/${id}`)).json });
  });

  it('replays everything to whoever comes after the end', async () => {
    await runThrough();
    const events = await (await open()).rest();
    expect(events.map((one) => Number(one.id))).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it.each([
    ['the header', '', { 'Last-Event-ID': '5' }],
    ['the query', '?last_event_id=5', {}],
    ['both, of which the header is newer', '?last_event_id=2', { 'Last-Event-ID': '5' }],
  ])('resumes after the event named by %s', async (_name, query, headers: Record<string, string>) => {
    await runThrough();
    const events = await (await open(query, headers)).rest();
    expect(events.map((one) => Number(one.id))).toEqual([6, 7]);
  });

  it('tells a client that has heard it all not to come back', async () => {
    await runThrough();
    expect((await open('', { 'Last-Event-ID': '7' })).response.status).toBe(204);
  });

  it.each([
    ['?last_event_id=x', {}, 'last_event_id'],
    ['?last_event_id=-1', {}, 'last_event_id'],
    ['', { 'Last-Event-ID': '1.5' }, 'Last-Event-ID'],
    ['?previews=yes', {}, 'previews'],
    ['?preview=true', {}, 'preview'],
  ])('refuses %s %j', async (query, headers: Record<string, string>, field) => {
    const { json } = await api.get(`/v1/jobs/${id}/events${query}`, headers);
    expect(json).toMatchObject({ status: 422, errors: [{ field }] });
  });

  it('shows previews to those who ask for them, and only while they look', async () => {
    await api.claim();
    const stopped = new Promise<void>((resolve) => {
      api.events.onPreviewsWatched(id, (watched) => watched || resolve());
    });
    const stream = await open('?previews=true');
    await stream.next();
    await stream.next();
    expect(api.events.previewsWatched(id)).toBe(true);
    api.events.publishPreview({ jobId: id, step: 3, mediaType: 'image/jpeg', data: Buffer.from('frame') });
    expect(await stream.next()).toEqual({
      id: undefined,
      event: 'preview',
      data: { step: 3, media_type: 'image/jpeg', data_base64: Buffer.from('frame').toString('base64') },
    });
    stream.abort();
    await stopped;
  });

  it('shows no previews to others', async () => {
    await api.claim();
    const stream = await open();
    await stream.next();
    expect(api.events.previewsWatched(id)).toBe(false);
    stream.abort();
  });

  it('answers HEAD without following', async () => {
    const answer = await api.request('HEAD', `/v1/jobs/${id}/events`);
    expect([answer.status, answer.text]).toEqual([200, '']);
  });
});
