import type { Request } from 'express';

/**
 * Lets go of what a body held, once it was read: a request that waits for its job would keep its pictures in memory for as
 * long as the queue is. Emptied in place, because the framework keeps the body itself until there is an answer.
 */
export function releaseBody(request: Request): void {
  const body: unknown = request.body;
  if (typeof body === 'object' && body !== null)
    for (const name of Object.keys(body)) Reflect.deleteProperty(body, name);
  request.body = undefined;
}
