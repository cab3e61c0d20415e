import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import type { ComfyUiClient } from './client/comfyui-client.js';

/** How long a prompt that was called off may take to be gone, in milliseconds: one step on a slow device. */
const LIMIT_MS = 30_000;
const POLL_MS = 250;

/** Calls a prompt off and waits until it is gone, within a bound. Never throws. */
export async function withdraw(
  client: Pick<ComfyUiClient, 'unqueue' | 'placeOf' | 'interrupt'>,
  promptId: string,
  log: Logger,
): Promise<void> {
  const limit = performance.now() + LIMIT_MS;
  try {
    for (;;) {
      // One that is interrupted as it begins goes on: it is asked again until it is gone.
      await client.unqueue(promptId);
      const { place } = await client.placeOf(promptId);
      if (place === 'gone') return;
      if (place === 'running') await client.interrupt(promptId);
      if (performance.now() >= limit) break;
      await wait(POLL_MS);
    }
    log.warn({ prompt: promptId }, 'ComfyUI does not let go of a prompt that was called off');
  } catch (error) {
    log.warn({ err: error, prompt: promptId }, 'a prompt could not be called off at ComfyUI');
  }
}
