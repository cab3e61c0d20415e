import type { Response } from 'express';

/** Aborts when the answer is over or the client has gone, whichever comes first. */
export function untilClosed(response: Response): AbortSignal {
  const controller = new AbortController();
  if (response.closed || response.destroyed) controller.abort();
  else response.once('close', () => controller.abort());
  return controller.signal;
}
