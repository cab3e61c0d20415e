import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { GrpcListenError } from '../api/grpc/serving/grpc-server.js';
import { UnusableArtifactStoreError } from '../artifacts/unusable-artifact-store.error.js';
import { loadSettings } from '../config/load-settings.js';
import type { Settings } from '../config/settings.js';
import { DatabaseUnusableError } from '../persistence/postgres/open-postgres.js';
import { startFailure } from './start-failure.js';

let cwd: string;
let settings: Settings;
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'safelight-start-'));
  settings = loadSettings({ cwd, env: {} });
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

it.each([
  [
    new UnusableArtifactStoreError('there is no bucket pictures', 'make it, or correct artifacts.s3_bucket'),
    'Pictures cannot be kept: there is no bucket pictures.',
    'make it, or correct artifacts.s3_bucket',
  ],
  [
    new DatabaseUnusableError('postgres://me:secret@db.example/jobs', new Error('connection refused')),
    'The database jobs at db.example:5432 cannot be used: connection refused.',
    expect.stringContaining('database.url'),
  ],
])('says what to do about %s', (error, message, nextStep) => {
  const failure = startFailure(error, settings);
  expect(failure).toMatchObject({ kind: 'cannot_start', message, nextStep, exitCode: 78 });
  expect(JSON.stringify(failure)).not.toContain('secret');
});

it.each([
  ['EADDRINUSE', 'Another program listens on 127.0.0.1:8721, where gRPC was to be.', 1],
  ['EACCES', 'gRPC cannot listen on 127.0.0.1:8721 (EACCES).', 78],
])('says which setting is about an address of gRPC that gives %s', (code, message, exitCode) => {
  const error = new GrpcListenError('127.0.0.1', 8721, code, new Error('listen'));
  const nextStep = expect.stringContaining('grpc.port (SAFELIGHT_GRPC_PORT)');
  expect(startFailure(error, settings)).toMatchObject({ kind: 'cannot_start', message, nextStep, exitCode });
});

it('leaves a defect as it is', () => {
  const defect = new TypeError('x is undefined');
  expect(startFailure(defect, settings)).toBe(defect);
});
