import type { LookupAddress } from 'node:dns';
import { lookup as lookUp } from 'node:dns/promises';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { isIP } from 'node:net';

import { isPrivateAddress } from './private-addresses.js';

/** What there is around this process, as far as it decides where a connection may go. */
export interface Surroundings {
  /** All addresses of a name, of either family; rejects when it has none. */
  readonly resolve: (host: string) => Promise<readonly LookupAddress[]>;
  readonly isPrivate: (address: string) => boolean;
}

/** Names are looked up as every program of this machine does. */
export const THIS_MACHINE: Surroundings = {
  resolve: (host) => lookUp(host, { all: true }),
  isPrivate: isPrivateAddress,
};

/** A connection that was not made, because where it would have led is private. */
export class PrivateAddressError extends Error {
  constructor(host: string) {
    super(`${host} is a private address`);
    this.name = 'PrivateAddressError';
  }
}

export interface GuardedRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string | number>>;
  /** Ends everything at once: looking up, connecting, and what is read of the answer. */
  readonly signal: AbortSignal;
  readonly allowPrivateAddresses: boolean;
  readonly surroundings?: Surroundings;
}

/**
 * A request over http or https on a connection of its own. A name is looked up once, as the connection is made, and it is
 * made to one of the addresses that were checked: a name cannot change its meaning in between. Nothing is sent before `end`
 * is called; redirects are the caller's. The request emits {@link PrivateAddressError} as its error.
 *
 * @throws {@link PrivateAddressError} when the host is written as a private address, in whatever form
 */
export function guardedRequest(
  target: URL,
  options: GuardedRequest,
  onResponse: (response: IncomingMessage) => void,
): ClientRequest {
  const { method, headers, signal, allowPrivateAddresses, surroundings = THIS_MACHINE } = options;
  const host = hostOf(target);
  // A host that is an address is not looked up.
  if (!allowPrivateAddresses && isIP(host) !== 0 && surroundings.isPrivate(host)) throw new PrivateAddressError(host);
  return (target.protocol === 'https:' ? httpsRequest : httpRequest)(
    target,
    {
      method,
      headers,
      signal,
      lookup: checkedLookup(surroundings, allowPrivateAddresses),
      // A connection of its own: one kept open would hold the server up when it stops.
      agent: false,
    },
    onResponse,
  );
}

/** The host of an address, without the brackets of IPv6. The parser has turned decimal, octal and hexadecimal IPv4 into dotted. */
export function hostOf(target: URL): string {
  return target.hostname.replace(/^\[|\]$/g, '');
}

/** Answers with the public addresses of a name; what asks connects to these. */
function checkedLookup({ resolve, isPrivate }: Surroundings, allowPrivateAddresses: boolean): LookupFunction {
  return (hostname, { all }, callback) => {
    resolve(hostname).then(
      (found) => {
        const allowed = allowPrivateAddresses ? [...found] : found.filter(({ address }) => !isPrivate(address));
        const [first] = allowed;
        if (first === undefined) callback(new PrivateAddressError(hostname), '', 0);
        else if (all === true) callback(null, allowed);
        else callback(null, first.address, first.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    );
  };
}
