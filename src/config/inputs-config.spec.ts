import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadSettings } from './load-settings.js';

describe('the settings of inputs', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-inputs-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function load(yaml: string, env: Record<string, string> = {}) {
    writeFileSync(join(folder, 'safelight.yaml'), yaml);
    return loadSettings({ cwd: folder, env, homeDir: folder, hostName: 'box' }).inputs;
  }

  it('have no picture fetched unless it is turned on, and then from public addresses only', () => {
    expect(load('')).toEqual({
      urlsEnabled: false,
      allowPrivateAddresses: false,
      allowedHosts: null,
      allowedPorts: [80, 443],
      maxBytes: 20 * 1024 * 1024,
      maxTotalBytes: 64 * 1024 * 1024,
      timeoutMs: 20_000,
      maxRedirects: 3,
      maxConcurrent: 16,
    });
    expect(load('', { SAFELIGHT_INPUTS_URLS_ENABLED: 'true' })).toMatchObject({ urlsEnabled: true });
  });

  it('take hosts and ports', () => {
    const yaml =
      "inputs: { allowed_hosts: ['pictures.example', '*.example.org', '10.0.0.7'], allowed_ports: [443, 8443] }";
    expect(load(yaml)).toMatchObject({
      allowedHosts: ['pictures.example', '*.example.org', '10.0.0.7'],
      allowedPorts: [443, 8443],
    });
  });

  it.each([
    ['a host with its protocol', "allowed_hosts: ['https://pictures.example']", 'a host name or an IP address'],
    ['a host that no address is compared with', "allowed_hosts: ['Pictures.Example']", 'lower case'],
    ['a star inside of a name', "allowed_hosts: ['a.*.example']", 'before a name'],
    ['a port that is none', 'allowed_ports: [0]', 'from 1 to 65535'],
    ['pictures larger than any that is taken', 'max_bytes: 20971521', 'from 1024 to 20971520'],
  ])('refuse %s', (_, setting, allowed) => {
    expect(() => load(`inputs: { ${setting} }`)).toThrow(allowed);
  });
});
