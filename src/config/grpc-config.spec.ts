import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadSettings } from './load-settings.js';

describe('The settings of gRPC', () => {
  let cwd: string;
  beforeAll(() => {
    cwd = mkdtempSync(join(tmpdir(), 'safelight-grpc-'));
  });
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));

  const load = (env: Record<string, string>) => loadSettings({ cwd, env, homeDir: cwd }).grpc;

  it('serve it without a certificate unless something else is said', () => {
    expect(load({})).toMatchObject({ enabled: true, port: null, tlsCert: null, tlsKey: null });
    const env = { SAFELIGHT_GRPC_PORT: '9000', SAFELIGHT_GRPC_ENABLED: 'false' };
    expect(load(env)).toMatchObject({ enabled: false, port: 9000 });
  });

  it('take a certificate and its key, and neither alone', () => {
    const both = { SAFELIGHT_GRPC_TLS_CERT: 'cert.pem', SAFELIGHT_GRPC_TLS_KEY: 'key.pem' };
    expect(load(both)).toMatchObject({ tlsCert: join(cwd, 'cert.pem'), tlsKey: join(cwd, 'key.pem') });
    for (const name of Object.keys(both)) {
      expect(() => load({ [name]: 'alone.pem' })).toThrow('a file when grpc.tls_cert is one, else null');
    }
  });

  it.each(['65536', '-1', 'grpc'])('refuse the port %s', (port) => {
    expect(() => load({ SAFELIGHT_GRPC_PORT: port })).toThrow('grpc.port');
  });
});
