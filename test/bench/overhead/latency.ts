import { setTimeout as wait } from 'node:timers/promises';

import { Caller, expecting } from './caller.js';
import type { NullServer } from './null-server.js';

const WARM_UP = 200;

/** Milliseconds from the request to the answer that holds the finished job. */
export async function latencyAlone(server: NullServer, calls: number): Promise<number[]> {
  return withCaller(server, 1, async (caller) => {
    const times: number[] = [];
    for (let call = 0; call < WARM_UP + calls; call += 1) times.push(await timed(() => waited(caller)));
    return times.slice(WARM_UP);
  });
}

/** The same at so many requests a second, sent when they are due whether or not earlier ones were answered. */
export async function latencyAtRate(server: NullServer, calls: number, perSecond: number): Promise<number[]> {
  return withCaller(server, 256, async (caller) => {
    const began = performance.now();
    const sent: Promise<number>[] = [];
    for (let call = 0; call < calls; call += 1) {
      const due = began + (call * 1000) / perSecond;
      const early = due - performance.now();
      if (early > 0) await wait(early);
      // From when it was due: a server that holds up the sender cannot make its own figure look better.
      sent.push(waited(caller).then(() => performance.now() - due));
    }
    return Promise.all(sent);
  });
}

/** Milliseconds from the submission until its stream of events has told the end. */
export async function latencyStreamed(server: NullServer, calls: number): Promise<number[]> {
  return withCaller(server, 2, async (caller) => {
    const times: number[] = [];
    for (let call = 0; call < WARM_UP + calls; call += 1) {
      times.push(
        await timed(async () => {
          const { text } = await expecting([202], caller.submit());
          const { id } = JSON.parse(text) as { id: string };
          const stream = await expecting([200], caller.get(`/v1/jobs/${id}/events`));
          if (!stream.text.includes('event: final')) throw new Error(`the stream of ${id} ended early`);
        }),
      );
    }
    return times.slice(WARM_UP);
  });
}

async function waited(caller: Caller): Promise<void> {
  const { text } = await expecting([200], caller.submit({ prefer: 'wait=30' }));
  if (!text.includes('"state":"succeeded"')) throw new Error(`a job did not succeed: ${text}`);
}

async function timed(act: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await act();
  return performance.now() - began;
}

async function withCaller<T>(server: NullServer, connections: number, use: (caller: Caller) => Promise<T>): Promise<T> {
  const caller = new Caller(server.url, connections);
  try {
    return await use(caller);
  } finally {
    caller.close();
  }
}
