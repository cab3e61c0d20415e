import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startCli } from '../support/cli.js';
import type { TestDatabase } from '../support/postgres.js';
import { newDatabase, NO_POSTGRES, postgresUrl } from '../support/postgres.js';
import { eventually } from '../support/signals.js';

const describeOnPostgres = postgresUrl === null ? describe.skip : describe;

describeOnPostgres(`safelight serve${postgresUrl === null ? ` (skipped: ${NO_POSTGRES})` : ''}`, () => {
  let cwd: string;
  let database: TestDatabase;
  beforeEach(async () => {
    cwd = mkdtempSync(join(tmpdir(), 'safelight-cli-'));
    database = await newDatabase();
  });
  afterEach(async () => {
    await database.drop();
    rmSync(cwd, { recursive: true, force: true });
  });

  const serve = (dataDir: string) => {
    const env = {
      DATABASE_URL: database.url,
      SAFELIGHT_DATABASE_LEASE_MS: '1000',
      SAFELIGHT_NODE_NAME: 'the-same',
      SAFELIGHT_ARTIFACTS_DIR: join(cwd, 'artifacts'),
      SAFELIGHT_DEVICES_IDS: 'cpu:0',
    };
    const child = startCli(['serve', '--port', '0', '--data-dir', dataDir], { cwd, env });
    let told = '';
    child.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
    const listens = eventually('it listens', () => Promise.resolve(told.includes('listens at') || null));
    return { child, listens };
  };

  it('ends with 1 and says why when another server takes its name', async () => {
    const first = serve('one');
    await first.listens;
    const second = serve('two');
    await second.listens;
    const { exitCode, stderr } = await first.child;
    expect(exitCode).toBe(1);
    expect(stderr).toContain('The server stopped: another server runs under the name the-same');
    expect(stderr).toContain('Next: give every server a name of its own (node_name)');
    second.child.kill('SIGTERM');
    expect((await second.child).exitCode).toBe(0);
  });
});
