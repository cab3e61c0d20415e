import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { probeLiveness } from './live-probe.js';

/** Probes a server over a real socket until it has been asked so often. */
async function probe(times: number, answer: (response: ServerResponse, index: number) => void) {
  const over = new AbortController();
  let asked = 0;
  const server: Server = createServer((_, response) => {
    answer(response, asked);
    asked += 1;
    if (asked === times) over.abort();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await probeLiveness(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, over.signal);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('the liveness probe', () => {
  it('times every answer', async () => {
    const { times, lateMs, failed } = await probe(5, (response) => response.end('{}'));
    expect(times.length).toBeGreaterThanOrEqual(5);
    expect(lateMs).toHaveLength(times.length);
    expect(failed).toBe(0);
  });

  it('goes on at its pace beside a probe that is not answered, and waits for it', async () => {
    let held: ServerResponse | null = null;
    const { times } = await probe(4, (response, index) => {
      if (index === 0) held = response;
      else response.end('{}');
      if (index === 3) held!.end('{}');
    });
    // Three probes were sent after it before it was answered.
    expect(Math.max(...times)).toBeGreaterThanOrEqual(2 * 25);
    expect(times.length).toBeGreaterThanOrEqual(4);
  });

  it('counts what is not answered with 200', async () => {
    const { failed } = await probe(4, (response, index) => {
      if (index === 0) response.destroy();
      else response.writeHead(index === 1 ? 503 : 200).end();
    });
    expect(failed).toBe(2);
  });
});
