import { InputsConfig } from '../config/inputs.config.js';
import { isPrivateAddress } from '../net/private-addresses.js';
import { permission, redirected } from './url-policy.js';

const judge = (url: string, changes: Partial<InputsConfig> = {}) =>
  permission(url, new InputsConfig({ urlsEnabled: true, ...changes }), isPrivateAddress);

describe('permission', () => {
  it('is given for nothing unless it is turned on', () => {
    expect(permission('https://example.org/a.png', new InputsConfig(), isPrivateAddress)).toMatchObject({
      refusal: { kind: 'off', message: expect.stringContaining('inputs.urls_enabled') },
    });
  });

  it.each([
    'https://example.org/a.png?x=1',
    'http://example.org:80/',
    'HTTPS://EXAMPLE.ORG:443/a',
    'http://8.8.8.8/a',
    'http://[2606:4700::1111]/a',
    'http://localhost.example.org/a',
  ])('is given for %s', (url) => {
    expect(judge(url)).toMatchObject({ ok: true });
  });

  it.each([
    ['another protocol', 'ftp://example.org/a', 'must be an http or https address'],
    ['no address', 'https://', 'must be an http or https address'],
    ['a very long one', `https://example.org/${'a'.repeat(2048)}`, 'at most 2048 characters'],
    ['a user name', 'https://me@example.org/a', 'must hold no user name'],
    ['a password', 'https://:secret@example.org/a', 'must hold no user name'],
    ['a host behind a user name', 'https://example.org:443@127.0.0.1/a', 'must hold no user name'],
    ['another port', 'http://example.org:8080/a', 'must not be at port 8080'],
    ['the port of the other protocol written as port 0', 'http://example.org:0/a', 'must not be at port 0'],
    ['loopback', 'http://127.0.0.1/a', 'private address'],
    ['loopback in decimal', 'http://2130706433/a', 'private address'],
    ['loopback in octal', 'http://0177.0.0.1/a', 'private address'],
    ['loopback in hexadecimal', 'http://0x7f.1/a', 'private address'],
    ['loopback in full-width digits', 'http://１２７.０.０.１/a', 'private address'],
    ['loopback with a dot behind it', 'http://127.0.0.1./a', 'private address'],
    ['loopback percent-encoded', 'http://%31%32%37.0.0.1/a', 'private address'],
    ['loopback as IPv6', 'http://[::1]/a', 'private address'],
    ['loopback as IPv4 in IPv6', 'http://[::ffff:127.0.0.1]/a', 'private address'],
    ['a private one as IPv4 in IPv6, in hexadecimal', 'http://[::ffff:a00:1]/a', 'private address'],
    ['what a cloud tells its machines', 'http://169.254.169.254/latest', 'private address'],
    ['no host in particular', 'http://0.0.0.0/a', 'private address'],
    ['this machine by name', 'http://localhost/a', 'private address'],
    ['this machine by another name', 'http://LOCALHOST./a', 'private address'],
    ['a name below it', 'http://a.localhost/a', 'private address'],
    ['a name of the network', 'http://printer.local/a', 'private address'],
    ['a name inside of a cloud', 'http://metadata.google.internal/a', 'private address'],
  ])('is not given for %s', (_, url, words) => {
    expect(judge(url)).toMatchObject({
      ok: false,
      refusal: { kind: 'not_allowed', message: expect.stringContaining(words) },
    });
  });

  it('is given for private ones, other ports and named hosts where the settings say so', () => {
    expect(judge('http://127.0.0.1/a', { allowPrivateAddresses: true })).toMatchObject({ ok: true });
    expect(judge('http://example.org:8080/a', { allowedPorts: [8080] })).toMatchObject({ ok: true });
    expect(judge('http://example.org/a', { allowedPorts: [8080] })).toMatchObject({ ok: false });
    const allowedHosts = ['example.org', '*.example.com', '127.0.0.1'];
    for (const [host, ok] of [
      ['example.org', true],
      ['EXAMPLE.org.', true],
      ['a.example.org', false],
      ['a.b.example.com', true],
      ['example.com', false],
      ['notexample.com', false],
      // A host that is named is no exception from what is private.
      ['127.0.0.1', false],
    ] as const)
      expect([host, judge(`https://${host}/a`, { allowedHosts }).ok]).toEqual([host, ok]);
  });
});

describe('redirected', () => {
  const follow = (location: string, taken = 0, from = 'https://example.org/a/b.png') =>
    redirected(new URL(from), location, taken, new InputsConfig({ urlsEnabled: true }), isPrivateAddress);

  it('leads on, also to an address relative to the one before', () => {
    expect(follow('../c.png')).toMatchObject({ ok: true, target: { href: 'https://example.org/c.png' } });
    expect(follow('//example.com/c.png', 2)).toMatchObject({ ok: true, target: { href: 'https://example.com/c.png' } });
    expect(follow('https://example.com/', 0, 'http://example.org/')).toMatchObject({ ok: true });
  });

  it.each([
    ['once too often', 'https://example.org/', 3, 'redirects too often'],
    ['to what is no address', 'https://[', 0, 'no address'],
    ['off TLS', 'http://example.org/', 0, 'from https to http'],
    ['to a private address', 'https://127.0.0.1/', 0, 'the address it leads to must not be at a private address'],
    ['to this machine', '//localhost/', 0, 'private address'],
    ['to another port', '//example.org:8443/', 0, 'port 8443'],
    ['with a user name', '//me@example.org/', 0, 'user name'],
    ['to a file', 'file:///etc/passwd', 0, 'http or https address'],
    ['to itself as data', 'data:image/png;base64,AAAA', 0, 'http or https address'],
  ])('does not lead %s', (_, location, taken, words) => {
    expect(follow(location, taken)).toMatchObject({ ok: false, refusal: { message: expect.stringContaining(words) } });
  });
});
