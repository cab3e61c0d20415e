import { setTimeout as delay } from 'node:timers/promises';

import { ServerProcess } from '../support/server-process.js';
import { eventually } from '../support/signals.js';

const CLIENTS = 16;
/** As impatient as a person who closes a page: some of the jobs run by then, the others still wait. */
const PATIENCE_MS = 300;

/** A minute of work each, so that none is done by itself. */
const REQUEST = { prompt: 'a red circle', width: 128, height: 128, num_inference_steps: 150, num_images: 4 };

interface Listed {
  readonly data: readonly { readonly id: string; readonly state: string }[];
}

describe('clients that hang up', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start();
    await server.finished((await server.submit({ prompt: 'a red circle' })).id);
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  const listed = async () => (await server.get<Listed>('/v1/jobs?limit=200')).data;
  const running = async () => (await server.get<{ data: { running: number }[] }>('/v1/workers')).data[0]?.running;

  /** Sixteen requests that wait for their picture, hung up on one after the other. */
  async function hangUp(headers: Record<string, string>): Promise<void> {
    const body = JSON.stringify(REQUEST);
    const send = async () => {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body, signal };
      await expect(fetch(`${server.url}/v1/jobs`, init)).rejects.toThrow('timeout');
    };
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, index) => {
        await delay(index * 10);
        await send();
      }),
    );
  }

  it('leave no work behind, queued or running', async () => {
    await hangUp({ Prefer: 'wait=60' });
    await eventually('all their jobs are cancelled', async () => {
      const states = (await listed()).slice(0, -1).map(({ state }) => state);
      return states.every((state) => state === 'cancelled') ? states : null;
    });
    await eventually('the worker is idle', async () => ((await running()) === 0 ? true : null));
    expect((await server.finished((await server.submit({ prompt: 'a blue square' })).id)).state).toBe('succeeded');
  });

  it('leave their jobs to run when they ask for it', async () => {
    const before = new Set((await listed()).map(({ id }) => id));
    await hangUp({ Prefer: 'wait=60', 'Safelight-On-Disconnect': 'continue' });
    const mine = (await listed()).filter(({ id }) => !before.has(id));
    expect(mine.length).toBeGreaterThan(0);
    expect(mine.filter(({ state }) => state !== 'queued' && state !== 'running')).toEqual([]);
    await Promise.all(mine.map(({ id }) => server.post(`/v1/jobs/${id}/cancel`)));
  });
});
