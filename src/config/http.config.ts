import { configArea } from './config-area.js';
import type { Kind } from './kinds.js';
import { integer, orNull, text } from './kinds.js';
import { listOf } from './record-kind.js';
import { given } from './setting.js';

const MEBIBYTE = 1024 * 1024;

const origins: Kind<readonly string[]> = {
  ...listOf(
    text({ pattern: /^(\*|https?:\/\/[^\s/@?#]+)$/, allowed: 'an origin such as https://example.org, or *' }),
    'a list of origins such as https://example.org, or *',
  ),
  fromText: (given) =>
    given
      .split(',')
      .map((origin) => origin.trim())
      .filter((origin) => origin !== ''),
};

export class HttpConfig extends configArea({
  section: 'http',
  title: 'HTTP',
  about: 'Where the HTTP API listens.',
  fields: {
    host: given(
      text({ pattern: /^[A-Za-z0-9.:_-]+$/, allowed: 'an IP address or a host name' }),
      '127.0.0.1',
      'Address to listen on. The default is reached from this machine only; `0.0.0.0` from every network it is in.',
    ),
    port: given(integer({ min: 0, max: 65_535 }), 8720, 'TCP port to listen on; 0 takes any free one.'),
    bodyLimitBytes: given(
      integer({ min: 1024, max: 1024 * MEBIBYTE }),
      MEBIBYTE,
      'Largest request body in bytes, but for submissions; a longer one is refused with 413.',
    ),
    maxBodyBytes: given(
      integer({ min: 1024, max: 1024 * MEBIBYTE }),
      64 * MEBIBYTE,
      'Largest body of a submission in bytes, with the pictures in it; a longer one is refused with 413.',
    ),
    requestTimeoutMs: given(
      integer({ min: 1_000, max: 86_400_000 }),
      60_000,
      'Milliseconds a client may take to send a whole request; one that takes longer is hung up on. Looked at every half a minute.',
    ),
    publicUrl: given(
      orNull(
        text({
          pattern: /^https?:\/\/[^\s/@?#]+(\/[^\s@?#]*[^\s@?#/])?$/,
          allowed: 'an address with http:// or https://, without a slash at its end, user or query',
        }),
      ),
      null,
      'Address under which clients reach the server, for the links that answers hold. Null takes the one a request came to.',
    ),
    corsOrigins: given(
      origins,
      [],
      'Origins of web pages that may call the API from a browser; `*` stands for all. None: browsers let no other page do it.',
    ),
  },
}) {}
