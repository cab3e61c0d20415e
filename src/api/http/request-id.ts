import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

const HEADER = 'X-Request-Id';

/** What proxies and gateways give; anything else could forge lines of a log. */
const GIVEN_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/;

/** Beside the requests rather than on them: no other code can write it. */
const ids = new WeakMap<IncomingMessage, string>();

/** Gives a request its id, that of its header or a new one, and tells it to the client. */
export function giveRequestId(request: IncomingMessage, response: ServerResponse): string {
  const given = request.headers['x-request-id'];
  const id = typeof given === 'string' && GIVEN_ID.test(given) ? given : randomUUID();
  ids.set(request, id);
  response.setHeader(HEADER, id);
  return id;
}

/** Undefined: it was not given one. */
export function requestIdOf(request: IncomingMessage): string | undefined {
  return ids.get(request);
}
