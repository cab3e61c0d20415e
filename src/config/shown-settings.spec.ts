import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { DECLARED_AREAS } from './areas.js';
import { filePathOf } from './config-area.js';
import { loadSettings } from './load-settings.js';
import type { ModelEntry } from './model-entry.js';
import { ModelsConfig } from './models.config.js';
import { shownSettings } from './shown-settings.js';

describe('shownSettings', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-settings-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const load = (env: Record<string, string> = {}, file?: unknown) => {
    if (file !== undefined) writeFileSync(join(folder, 'safelight.yaml'), JSON.stringify(file));
    return loadSettings({ env, cwd: folder, homeDir: folder, hostName: 'here' });
  };

  it('shows every setting where it stands in the file', () => {
    const shown = shownSettings(load({ SAFELIGHT_HTTP_PORT: '9000' }));
    expect(shown).toMatchObject({
      node_name: 'here',
      http: { port: 9000, host: '127.0.0.1' },
      log: { prompts: 'hidden' },
    });
    for (const [, area] of DECLARED_AREAS) {
      for (const field of Object.keys(area.fields)) expect(shown).toHaveProperty(filePathOf(area, field) as string[]);
    }
  });

  it('says of a secret only that it is there', () => {
    const secret = `whsec_${Buffer.from('twenty-four random bytes').toString('base64')}`;
    const password = 'correct-horse';
    const shown = shownSettings(
      load({ SAFELIGHT_WEBHOOKS_SECRET: secret, DATABASE_URL: `postgres://someone:${password}@db.example/jobs` }),
    );
    expect(shown).toMatchObject({ webhooks: { secret: '(not shown)' }, database: { url: '(not shown)' } });
    expect(JSON.stringify(shown)).not.toContain(secret);
    expect(JSON.stringify(shown)).not.toContain(password);
    expect(shownSettings(load())).toMatchObject({ webhooks: { secret: null }, database: { url: null } });
  });

  it('shows keys without what they could be guessed from', () => {
    const sha256 = createHash('sha256').update('a key').digest('hex');
    const shown = shownSettings(load({}, { access: { keys: [{ id: 'ci', sha256 }] } }));
    expect(shown).toMatchObject({ access: { keys: [{ id: 'ci', role: 'user', sha256: '(not shown)' }] } });
    expect(JSON.stringify(shown)).not.toContain(sha256);
  });

  it.each([
    ['https://someone:secret@example.org/x', 'https://someone:***@example.org/x'],
    ['https://token@example.org/', 'https://***@example.org/'],
    ['https://example.org/?key=secret', 'https://example.org/?***'],
    ['https://example.org', 'https://example.org'],
    ['/models/shapes', '/models/shapes'],
  ])('shows %s as %s wherever an address stands', (address, expected) => {
    const settings = load();
    const models = new ModelsConfig({ entries: [{ id: 'm', source: address } as ModelEntry] });
    expect(shownSettings({ ...settings, models })).toMatchObject({ models: [{ source: expected }] });
  });
});
