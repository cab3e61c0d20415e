import { Caller, expecting } from './caller.js';
import type { NullServer } from './null-server.js';

/** Jobs a second from submission to a stored, fetched result, by so many callers who each wait for theirs. */
export async function jobsPerSecond(server: NullServer, callers: number, seconds: number): Promise<number> {
  const caller = new Caller(server.url, callers);
  try {
    await rounds(caller, callers, 1);
    return await rounds(caller, callers, seconds);
  } finally {
    caller.close();
  }
}

async function rounds(caller: Caller, callers: number, seconds: number): Promise<number> {
  const began = performance.now();
  const until = began + seconds * 1000;
  let done = 0;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < until) {
        await expecting([200], caller.submit({ prefer: 'wait=30' }));
        done += 1;
      }
    }),
  );
  return done / ((performance.now() - began) / 1000);
}
