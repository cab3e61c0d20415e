import type { Response } from 'express';

/** The reason; without one each abort would make an error, with the stack it was made at. */
const CLOSED = 'the connection is closed';

/** Aborts when the answer is over or the client has gone, whichever comes first. */
export function untilClosed(response: Response): AbortSignal {
  const controller = new AbortController();
  if (response.closed || response.destroyed) controller.abort(CLOSED);
  else response.once('close', () => controller.abort(CLOSED));
  return controller.signal;
}
