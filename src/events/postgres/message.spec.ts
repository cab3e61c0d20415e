import type { Message } from './message.js';
import { isFrom, messagesOf, payloadOf } from './message.js';

const MESSAGES: Message[] = [
  { kind: 'event', event: { jobId: 'a', seq: 1, at: 0, body: { type: 'final' } } },
  { kind: 'cancel', job: 'a' },
  { kind: 'watch', jobs: ['a', 'b'], on: true },
  { kind: 'frame', job: 'a', frame: 1, step: 3, mediaType: 'image/jpeg', part: 0, parts: 1, data: '' },
  { kind: 'gap' },
];

describe('a payload', () => {
  it('gives back who sent it and every message it was made of', () => {
    const payload = payloadOf(
      'node-a',
      MESSAGES.map((message) => JSON.stringify(message)),
    );
    expect(messagesOf(payload)).toEqual({ sender: 'node-a', messages: MESSAGES, unknown: 0 });
    expect(isFrom('node-a', payload)).toBe(true);
    expect(isFrom('node', payload)).toBe(false);
  });

  it.each([
    null,
    7,
    { kind: 'of a later version' },
    { kind: 'event' },
    { kind: 'event', event: { jobId: '', seq: 1, at: 0, body: { type: 'final' } } },
    { kind: 'event', event: { jobId: 'a', seq: -1, at: 0, body: { type: 'final' } } },
    { kind: 'event', event: { jobId: 'a', seq: 1, at: 0, body: null } },
    { kind: 'cancel', job: 7 },
    { kind: 'watch', jobs: ['a', 7], on: true },
    { kind: 'watch', jobs: 'a', on: true },
    { ...MESSAGES[3], part: 1 },
    { ...MESSAGES[3], parts: 1e9 },
    { ...MESSAGES[3], data: undefined },
  ])('passes over %j and counts it', (message) => {
    const payload = payloadOf('node-a', [JSON.stringify(message), '{"kind":"gap"}']);
    expect(messagesOf(payload)).toEqual({ sender: 'node-a', messages: [{ kind: 'gap' }], unknown: 1 });
  });

  it.each(['', 'noise', 'node-a {"kind":"gap"}', 'node-a [{"kind":"gap"}'])(
    'that is none is counted: %j',
    (payload) => {
      expect(messagesOf(payload)).toMatchObject({ messages: [], unknown: 1 });
    },
  );
});
