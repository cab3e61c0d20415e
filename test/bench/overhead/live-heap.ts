import { once } from 'node:events';

interface Reply {
  readonly id: number;
  readonly result: { readonly usedSize?: number };
}

/**
 * Bytes of live objects in the main thread of a server that was started with `--inspect`; its inspector is at this address.
 * Garbage is collected first: what is dead would make a server that works look like one that remembers.
 */
export async function liveHeapBytes(inspector: string): Promise<number> {
  const socket = new WebSocket(inspector);
  try {
    await once(socket, 'open', { signal: AbortSignal.timeout(10_000) });
    await ask(socket, 1, 'HeapProfiler.collectGarbage');
    const { usedSize } = await ask(socket, 2, 'Runtime.getHeapUsage');
    if (usedSize === undefined) throw new Error('the inspector did not say how large the heap is');
    return usedSize;
  } finally {
    socket.close();
  }
}

async function ask(socket: WebSocket, id: number, method: string): Promise<Reply['result']> {
  const answered = new Promise<Reply['result']>((resolve, reject) => {
    socket.addEventListener('message', ({ data }) => {
      const reply = JSON.parse(String(data)) as Reply;
      if (reply.id === id) resolve(reply.result);
    });
    socket.addEventListener('close', () => reject(new Error(`the inspector hung up on ${method}`)));
  });
  socket.send(JSON.stringify({ id, method }));
  return answered;
}
