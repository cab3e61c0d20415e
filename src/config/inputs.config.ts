import { configArea } from './config-area.js';
import { flag, integer, orNull, text } from './kinds.js';
import { listOf } from './record-kind.js';
import { given } from './setting.js';

const MEBIBYTE = 1024 * 1024;

export class InputsConfig extends configArea({
  section: 'inputs',
  title: 'Inputs',
  about:
    'Pictures that requests name by an http or https address instead of sending them. Off, because this server then fetches what its clients name.',
  fields: {
    urlsEnabled: given(
      flag(),
      false,
      'Whether pictures may be named by an address. Without it such requests are refused.',
    ),
    allowPrivateAddresses: given(
      flag(),
      false,
      'Whether pictures may come from loopback, link-local and private addresses. Who may submit jobs could otherwise read what only this machine can.',
    ),
    allowedHosts: given(
      orNull(
        listOf(
          text({
            pattern: /^(?:\*\.)?[a-z0-9.:_-]+$/,
            allowed: 'a host name or an IP address in lower case; `*.` before a name means all names below it',
          }),
          'a list of host names',
        ),
      ),
      null,
      'Hosts that pictures may come from, also after a redirect; `*.example.org` means all below it. Null: any.',
      { env: false },
    ),
    allowedPorts: given(
      listOf(integer({ min: 1, max: 65_535 }), 'a list of ports'),
      [80, 443],
      'TCP ports that pictures may come from, also after a redirect.',
      { env: false },
    ),
    maxBytes: given(
      integer({ min: 1024, max: 20 * MEBIBYTE }),
      20 * MEBIBYTE,
      'Largest picture in bytes; reading ends where one turns out to be larger. Larger ones are refused in every form.',
    ),
    maxTotalBytes: given(
      integer({ min: 1024, max: 1024 * MEBIBYTE }),
      64 * MEBIBYTE,
      'Bytes of all pictures together that one submission has fetched; they are in memory at the same time.',
    ),
    timeoutMs: given(
      integer({ min: 100, max: 120_000 }),
      20_000,
      'Milliseconds in which all pictures of a submission must be there, waiting for their turn and redirects included.',
    ),
    maxRedirects: given(integer({ min: 0, max: 10 }), 3, 'Redirects that are followed for one picture.'),
    maxConcurrent: given(
      integer({ min: 1, max: 256 }),
      16,
      'Pictures that are fetched at a time, for all submissions; one submission has four at a time at most.',
    ),
  },
}) {}
