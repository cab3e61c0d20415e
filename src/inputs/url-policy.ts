import { isIP } from 'node:net';

import type { InputsConfig } from '../config/inputs.config.js';
import type { PictureRefusal } from '../jobs/ports/picture-source.port.js';
import { hostOf } from '../net/guarded-request.js';

/** As long as an address may be in what browsers and proxies carry. */
const MAX_URL_CHARS = 2048;

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

/** Names that mean this machine or its own network, whatever a resolver says (RFC 6761, 6762 and 8375; `.internal` by ICANN). */
const LOCAL_NAME = /(?:^|\.)(?:localhost|local|internal|home\.arpa)$/;

type Policy = Pick<
  InputsConfig,
  'urlsEnabled' | 'allowPrivateAddresses' | 'allowedHosts' | 'allowedPorts' | 'maxRedirects'
>;

/** An address that may be asked, or why it may not. */
export type Permission =
  { readonly ok: true; readonly target: URL } | { readonly ok: false; readonly refusal: PictureRefusal };

/** What can be told of an address without looking up its host. */
export function permission(url: string, policy: Policy, isPrivate: (address: string) => boolean): Permission {
  if (!policy.urlsEnabled) {
    const message = 'is not fetched: send the picture itself in base64, or set inputs.urls_enabled';
    return refused(message, { encoding: 'base64', setting: 'inputs.urls_enabled' }, 'off');
  }
  const target = url.length <= MAX_URL_CHARS ? URL.parse(url) : null;
  const defaultPort = target === null ? undefined : DEFAULT_PORTS[target.protocol];
  if (target === null || defaultPort === undefined) {
    const limit = { protocols: ['http', 'https'], max_chars: MAX_URL_CHARS };
    return refused(`must be an http or https address of at most ${MAX_URL_CHARS} characters`, limit);
  }
  if (target.username !== '' || target.password !== '')
    return refused('must hold no user name or password', { absent: ['username', 'password'] });
  const port = target.port === '' ? defaultPort : Number(target.port);
  if (!policy.allowedPorts.includes(port))
    return refused(`must not be at port ${port}`, { ports: policy.allowedPorts, setting: 'inputs.allowed_ports' });
  const host = hostOf(target).replace(/\.$/, '').toLowerCase();
  if (policy.allowedHosts !== null && !policy.allowedHosts.some((allowed) => covers(allowed, host)))
    return refused('must be at a host that is allowed', { setting: 'inputs.allowed_hosts' });
  const isLocal = isIP(host) === 0 ? LOCAL_NAME.test(host) : isPrivate(host);
  return isLocal && !policy.allowPrivateAddresses ? { ok: false, refusal: privateAddress() } : { ok: true, target };
}

/** Where a redirect leads, and whether that may be asked. `taken`: how many came before it. */
export function redirected(
  from: URL,
  location: string,
  taken: number,
  policy: Policy,
  isPrivate: (address: string) => boolean,
): Permission {
  if (taken >= policy.maxRedirects)
    return refused('redirects too often', { max_redirects: policy.maxRedirects, setting: 'inputs.max_redirects' });
  const target = URL.parse(location, from.href);
  if (target === null) return refused('redirects to what is no address', { protocols: ['http', 'https'] });
  if (from.protocol === 'https:' && target.protocol === 'http:')
    return refused('redirects from https to http', { protocols: ['https'] });
  const next = permission(target.href, policy, isPrivate);
  if (next.ok) return next;
  return refused(`redirects; the address it leads to ${next.refusal.message}`, next.refusal.limit);
}

/** Says so of the field, and not where its name leads. */
export function privateAddress(): PictureRefusal {
  const limit = { public: true, setting: 'inputs.allow_private_addresses' };
  return { kind: 'not_allowed', message: 'must not be at a private address', limit };
}

function covers(allowed: string, host: string): boolean {
  return allowed.startsWith('*.') ? host.endsWith(allowed.slice(1)) : host === allowed;
}

function refused(message: string, limit: unknown, kind: PictureRefusal['kind'] = 'not_allowed'): Permission {
  return { ok: false, refusal: { kind, message, limit } };
}
