import { quantile } from '../support/statistics.js';
import { Caller, expecting } from './caller.js';
import type { NullServer, StoreKind } from './null-server.js';
import { NullServer as Server } from './null-server.js';

const FILLERS = 32;
const ROUNDS = 10;

export interface QueuedFigures {
  readonly emptyP99: number;
  readonly fullP99: number;
  /** Growth of the server's resident memory and live heap over the queued jobs, divided by their number. */
  readonly residentPerJob: number;
  readonly heapPerJob: number;
}

/** Submits to a server with nothing queued and to one with so many, in turns, so that what else goes on meets both. */
export async function measureQueued(store: StoreKind, queued: number, calls: number): Promise<QueuedFigures> {
  const servers: NullServer[] = [];
  try {
    const empty = await Server.start(store, false);
    servers.push(empty);
    const full = await Server.start(store, false);
    servers.push(full);
    await Promise.all([fill(empty, 500), fill(full, 500)]);
    const before = await memoryOf(full);
    await fill(full, queued);
    const after = await memoryOf(full);
    const times = { empty: [] as number[], full: [] as number[] };
    for (let round = 0; round < ROUNDS; round += 1) {
      times.empty.push(...(await submitTimes(empty, Math.ceil(calls / ROUNDS))));
      times.full.push(...(await submitTimes(full, Math.ceil(calls / ROUNDS))));
    }
    return {
      emptyP99: quantile(times.empty, 0.99),
      fullP99: quantile(times.full, 0.99),
      residentPerJob: Math.max(0, after.resident - before.resident) / queued,
      heapPerJob: Math.max(0, after.heap - before.heap) / queued,
    };
  } finally {
    for (const server of servers) await server.remove();
  }
}

/** The heap first: to look at it is to collect its garbage. */
async function memoryOf(server: NullServer): Promise<{ readonly heap: number; readonly resident: number }> {
  const heap = await server.liveHeapBytes();
  return { heap, resident: server.residentBytes() };
}

async function fill(server: NullServer, jobs: number): Promise<void> {
  const caller = new Caller(server.url, FILLERS);
  let left = jobs;
  try {
    await Promise.all(
      Array.from({ length: FILLERS }, async () => {
        while (left > 0) {
          left -= 1;
          await expecting([202], caller.submit());
        }
      }),
    );
  } finally {
    caller.close();
  }
}

async function submitTimes(server: NullServer, calls: number): Promise<number[]> {
  const caller = new Caller(server.url, 1);
  const times: number[] = [];
  try {
    for (let call = 0; call < calls; call += 1) {
      const began = performance.now();
      await expecting([202], caller.submit());
      times.push(performance.now() - began);
    }
    return times;
  } finally {
    caller.close();
  }
}
