import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

import { PacedCall } from './paced-call.js';

it('a call reads on once all its answers are taken, and as often as it was asked to', () => {
  let reads = 0;
  const taken: (() => void)[] = [];
  const below = {
    startRead: () => void reads++,
    sendMetadata: () => undefined,
    sendMessage: (_message: unknown, done: () => void) => void taken.push(done),
  };
  const call = new PacedCall(below as unknown as ServerInterceptingCallInterface);
  call.startRead();
  expect(reads).toBe(1);
  call.sendMessage('one', () => undefined);
  call.sendMessage('two', () => undefined);
  call.startRead();
  expect(reads).toBe(1);
  taken.shift()?.();
  expect(reads).toBe(1);
  taken.shift()?.();
  expect(reads).toBe(2);
  call.sendMessage('three', () => undefined);
  taken.shift()?.();
  expect(reads).toBe(2);
});
