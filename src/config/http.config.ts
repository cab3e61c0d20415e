import { configArea } from './config-area.js';
import { integer, text } from './kinds.js';
import { given } from './setting.js';

const MEBIBYTE = 1024 * 1024;

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
  },
}) {}
