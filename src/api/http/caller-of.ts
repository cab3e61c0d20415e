import type { IncomingMessage } from 'node:http';

import type { Caller } from '../../domain/access/caller.js';
import { Problem } from './problem.js';

/** Beside the requests rather than on them: no other code can write it. */
const callers = new WeakMap<IncomingMessage, Caller | null>();

/** Notes who sends a request; null: nobody who is known, and keys are in use. */
export function identify(request: IncomingMessage, caller: Caller | null): void {
  callers.set(request, caller);
}

/** Who sends a request. Throws the problem `unauthorized` for nobody who is known. */
export function callerOf(request: IncomingMessage): Caller {
  const caller = callers.get(request);
  if (caller === undefined) throw new Error('the request was not looked at for its key');
  if (caller === null) {
    throw new Problem('unauthorized', 'send a key that is known: as Authorization: Bearer KEY, or as X-Api-Key: KEY', {
      headers: { 'WWW-Authenticate': 'Bearer, Basic realm="safelight", charset="UTF-8"' },
    });
  }
  return caller;
}
