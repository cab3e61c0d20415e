import { BlockList, isIPv6 } from 'node:net';

import type { ConfigAreas } from './areas.js';
import type { ConfigProblem } from './config-error.js';
import type { SettingOrigin } from './settings.js';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Null: whoever reaches the server must have a key, or is on this machine, or it was said that anybody may. */
export function openDoor({ http, access }: ConfigAreas, origins: readonly SettingOrigin[]): ConfigProblem | null {
  if (access.keys.length > 0 || access.apiKey !== null || access.allowWithoutKeys || isLoopback(http.host)) return null;
  return {
    where: origins.find(({ setting }) => setting === 'http.host')?.from ?? 'defaults',
    setting: 'http.host',
    message: `http.host is ${http.host}: everybody in that network could do everything, because there are no keys`,
    allowed: 'an address of loopback, such as 127.0.0.1, while there are no keys',
    nextStep:
      'make a key with `safelight keys new`, or set access.api_key (SAFELIGHT_ACCESS_API_KEY); or set access.allow_without_keys to true when something in front of the server checks callers',
  };
}

/** A name other than localhost may mean any address by the time it is looked up. */
function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || LOOPBACK.check(host, isIPv6(host) ? 'ipv6' : 'ipv4');
}
