import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { stringify } from 'yaml';

import { answerJson, StubApi } from '../../../test/support/cli.js';
import { NO_POSTGRES, postgresUrl } from '../../../test/support/postgres.js';
import { loadSettings } from '../../config/load-settings.js';
import { checkDatabase, describeDatabase } from './database-check.js';
import { checkDataFolder, describeSpace } from './data-folder-check.js';
import { checkMemory, describeGpus } from './devices-check.js';
import { checkModels } from './models-check.js';
import { checkNode } from './node-check.js';
import { describePython } from './python-check.js';
import { renderFindings } from './run-doctor.js';
import { checkServer } from './server-check.js';

const GIB = 1024 ** 3;
let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'safelight-doctor-'));
});

afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

function settings(yaml: string) {
  writeFileSync(join(cwd, 'safelight.yaml'), `data_dir: data\n${yaml}`);
  return loadSettings({ cwd, env: {} });
}

describe('the doctor looks at', () => {
  it('the database, when there is one', async () => {
    expect(await checkDatabase(settings(''))).toEqual([]);
    expect(describeDatabase('jobs at db:5432', 150_004, '15.4').status).toBe('ok');
    expect(describeDatabase('jobs at db:5432', 140_011, '14.11')).toMatchObject({ status: 'fail' });
    // A server that takes connections and says nothing that PostgreSQL would.
    const other = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const url = `postgres://me:secret@127.0.0.1:${port}/jobs`;
    const [finding] = await checkDatabase(settings(`database:\n  url: ${url}`));
    other.close();
    expect(finding).toMatchObject({
      status: 'fail',
      message: expect.stringContaining(`jobs at 127.0.0.1:${port} does not answer: `),
      mend: expect.stringContaining('database.url'),
    });
    expect(JSON.stringify(finding)).not.toContain('secret');
  });

  it('Node', () => {
    expect(checkNode('24.21.0', '>=24.9').status).toBe('ok');
    expect(checkNode('24.8.1', '>=24.9')).toMatchObject({ status: 'fail', mend: 'run it with Node.js 24.9 or newer' });
    expect(checkNode('26.0.0', '>=24.9').status).toBe('ok');
  });

  it('Python and its packages', () => {
    const versions = {
      torch: '2.13.0',
      diffusers: '0.42.1',
      transformers: '5',
      safetensors: '0.8',
      grpcio: '1',
      protobuf: '7',
      pillow: '13',
      numpy: '2',
    };
    expect(describePython('/p', { python: '3.11.7', packages: versions }, true).map(({ status }) => status)).toEqual([
      'ok',
      'ok',
    ]);
    const [python, packages] = describePython(
      '/p',
      { python: '3.14.0', packages: { ...versions, torch: null } },
      false,
    );
    expect(python?.status).toBe('warn');
    expect(packages).toMatchObject({ status: 'fail', message: 'missing: torch' });
    expect(packages?.mend).toContain('/p -m pip install');
  });

  it('memory, also where a container limits it', () => {
    expect(checkMemory(4 * GIB, 3.5 * GIB, 64 * GIB)).toMatchObject({
      status: 'ok',
      message: '3.5 GiB free of 4.0 GiB, the limit of the container',
    });
    expect(checkMemory(2 ** 64, 1 * GIB, 64 * GIB)).toMatchObject({
      status: 'warn',
      message: '1.0 GiB free of 64.0 GiB',
    });
  });

  it('GPUs, and whether torch can use them', () => {
    const csv = '0, NVIDIA H200, 143771, 143000, 575.57\n';
    expect(describeGpus(csv, '2.13.0+cu130')).toMatchObject([
      { area: 'cuda:0', status: 'ok', message: 'NVIDIA H200, 140 GiB free of 140 GiB, driver 575.57' },
    ]);
    expect(describeGpus(csv, '2.13.0+cpu')[1]).toMatchObject({ area: 'torch', status: 'fail' });
  });

  it('models, as far as it can without Python', async () => {
    mkdirSync(join(cwd, 'good'));
    writeFileSync(join(cwd, 'one.safetensors'), '');
    const models = [
      { id: 'good', source: './good' },
      { id: 'one', source: './one.safetensors', config: './good' },
      { id: 'bare', source: './one.safetensors', config: './none' },
      { id: 'gone', source: './gone' },
      { id: 'far', source: 'owner/name' },
      { id: 'styled', source: './good', loras: [{ id: 'ink', source: './ink.safetensors' }] },
    ];
    const told = { embedded_model: false, workers: { python: '/no/such/python' }, models };
    const unseen = { status: 'warn', message: expect.stringContaining('was not looked at: /no/such/python cannot') };
    expect(await checkModels(settings(stringify(told)))).toMatchObject([
      { area: 'model good', ...unseen },
      { area: 'model one', ...unseen },
      { area: 'model bare', status: 'fail', message: expect.stringContaining(`there is no ${join(cwd, 'none')}`) },
      { area: 'model gone', status: 'fail', message: expect.stringContaining(`there is no ${join(cwd, 'gone')}`) },
      { area: 'model far', ...unseen },
      { area: 'model styled', status: 'fail', message: expect.stringContaining('which it lists as ink') },
    ]);
  });

  it('the data folder', async () => {
    const findings = await checkDataFolder(settings(''));
    expect(findings.map(({ area, message }) => [area, message.includes('will be made')])).toEqual([
      ['data', true],
      ['artifacts', true],
    ]);
    writeFileSync(join(cwd, 'file'), '');
    expect(await checkDataFolder(settings('artifacts_dir: file/x'))).toMatchObject([{}, { status: 'fail' }]);
    const inBucket = settings('artifacts_dir: file/x\nartifacts:\n  s3_bucket: pictures');
    expect(await checkDataFolder(inBucket)).toMatchObject([{ area: 'data', status: 'ok' }]);
    expect([40 * 1024 ** 2, GIB / 2, 2 * GIB].map((free) => describeSpace('data', '/d', false, free).status)).toEqual([
      'fail',
      'warn',
      'ok',
    ]);
  });

  it('the port, when it is free and when another program has it', async () => {
    expect(await checkServer(settings('http: { port: 0 }'))).toMatchObject([
      { status: 'ok' },
      { status: 'ok', message: 'any free one' },
    ]);
    const other = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    expect(await checkServer(settings(`http: { port: ${port} }`))).toMatchObject([
      { status: 'ok' },
      { status: 'fail', message: `127.0.0.1:${port} is taken by another program` },
    ]);
    other.close();
    await once(other, 'close');
    expect((await checkServer(settings(`http: { port: ${port} }`)))[1]).toMatchObject({
      status: 'ok',
      message: `127.0.0.1:${port} is free`,
    });
  });

  it('the running server and its workers, and is not misled by what a dead one left', async () => {
    const workers = [{ id: 'cpu:0#1', state: 'starting', reason: 'importing torch' }];
    const api = await StubApi.start({
      'GET /health/live': (_, response) => answerJson(response, 200, { live: true }),
      'GET /v1/workers': (_, response) => answerJson(response, 200, { data: workers }),
    });
    const told = settings('http: { port: 0 }');
    mkdirSync(join(cwd, 'data'));
    writeFileSync(join(cwd, 'data', 'server.json'), JSON.stringify({ url: api.url, pid: 42 }));
    expect(await checkServer(told)).toMatchObject([
      { status: 'ok', message: `runs at ${api.url} as process 42` },
      { status: 'warn', message: 'starting: importing torch' },
    ]);
    await api.stop();
    expect(await checkServer(told)).toMatchObject([{ message: 'none runs on this data folder' }, {}]);
    writeFileSync(join(cwd, 'data', 'server.json'), '{"url":');
    expect(await checkServer(told)).toMatchObject([{ message: 'none runs on this data folder' }, {}]);
  });
});

it('the doctor says each thing in a line, with how to mend it', () => {
  const findings = [
    { area: 'node', status: 'ok', message: '24', mend: null },
    { area: 'python', status: 'fail', message: 'none', mend: 'install it' },
  ] as const;
  expect(renderFindings(findings)).toEqual([
    'ok    node    24',
    'fail  python  none',
    '              → install it',
    '',
    '1 of 2 checks failed.',
  ]);
});

const describeOnPostgres = postgresUrl === null ? describe.skip : describe;

describeOnPostgres(`with PostgreSQL${postgresUrl === null ? ` (skipped: ${NO_POSTGRES})` : ''}, the doctor`, () => {
  it('finds that it answers', async () => {
    const findings = await checkDatabase(settings(`database:\n  url: ${postgresUrl}`));
    expect(findings).toMatchObject([{ status: 'ok', message: expect.stringMatching(/answers, PostgreSQL \d+/) }]);
  });
});
