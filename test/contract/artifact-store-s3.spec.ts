import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { createServer as createSilentServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';

import { pino } from 'pino';

import { openArtifactStore } from '../../src/artifacts/open-artifact-store.js';
import { S3ArtifactStore } from '../../src/artifacts/s3/s3-artifact-store.js';
import type { BucketLimits } from '../../src/artifacts/s3/s3-bucket.js';
import { S3Bucket } from '../../src/artifacts/s3/s3-bucket.js';
import { ArtifactsConfig } from '../../src/config/artifacts.config.js';
import { StorageConfig } from '../../src/config/storage.config.js';
import { ArtifactStoreUnavailableError } from '../../src/jobs/ports/artifact-store.port.js';
import { ArtifactMissingError } from '../../src/jobs/ports/artifact-transfer.port.js';
import { ACCESS_KEY, S3Server, whyNoS3Server } from '../support/s3-server.js';
import { describeArtifactStore, inputOf, stagedFile } from './artifact-store.suite.js';

const BUCKET = 'safelight-test';
const PICTURE = Buffer.from('not really a picture');
/** Two keys a page, so that a handful of files takes several; tries as many as in service, but not as long. */
const LIMITS: BucketLimits = { patience: { tries: 4, tryMs: 10_000, backoffMs: 5 }, pageSize: 2 };
const LOG = pino({ level: 'silent' });

const missing = whyNoS3Server();
const describeOnS3 = missing === null ? describe : describe.skip;
if (missing !== null) process.stderr.write(`The S3 artifact store is not tested: ${missing}\n`);

let folder: string;
let servers: Server[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safelight-s3-'));
  servers = [];
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  for (const server of servers) server.close();
});

function storeOn(settings: ArtifactsConfig, node = 'node-a', limits: Partial<BucketLimits> = LIMITS): S3ArtifactStore {
  const bucket = new S3Bucket(BUCKET, settings, limits);
  return new S3ArtifactStore({ bucket, stagingDir: join(folder, 'staging', node), node });
}

const settingsFor = (url: string, changes: Partial<ArtifactsConfig> = {}) =>
  new ArtifactsConfig({
    ...ACCESS_KEY,
    s3Bucket: BUCKET,
    s3Endpoint: url,
    s3Region: 'us-east-1',
    s3ForcePathStyle: true,
    ...changes,
  });

async function stagePicture(store: S3ArtifactStore, attempt: { jobId: string; token: number }): Promise<void> {
  writeFileSync(join(await store.openStaging(attempt), '0.png'), PICTURE);
}

const newAttempt = () => ({ jobId: randomUUID(), token: 3 });

async function rejectionOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => {
      throw new Error('it was expected to fail');
    },
    (error: Error) => error,
  );
}

async function listening(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describeOnS3('on an S3 server', () => {
  let s3: S3Server;
  beforeAll(async () => {
    s3 = await S3Server.start();
    await s3.createBucket(BUCKET);
  });
  afterAll(() => s3.kill());

  describe.each([
    ['without a prefix', null],
    ['below a prefix', 'deep/down'],
  ])('%s', (_, s3Prefix) => {
    describeArtifactStore('S3ArtifactStore', (node) => storeOn(s3.settings(BUCKET, { s3Prefix }), node));
  });

  it('shows one prefix nothing of another', async () => {
    const [one, other] = ['one', 'other'].map((s3Prefix) => storeOn(s3.settings(BUCKET, { s3Prefix })));
    const attempt = newAttempt();
    await stagePicture(one!, attempt);
    const [key] = await one!.adopt(attempt, [stagedFile('0.png', PICTURE)]);
    expect(await other!.open(key!)).toBeNull();
    await other!.remove(attempt.jobId);
    expect(await one!.open(key!)).not.toBeNull();
  });

  it('gives no input that is not the one the job was submitted with', async () => {
    const store = storeOn(s3.settings(BUCKET));
    const attempt = newAttempt();
    const { ref, bytes } = inputOf(PICTURE);
    await store.openStaging(attempt);
    await expect(store.inputPath(attempt, ref)).rejects.toThrow(ArtifactMissingError);
    await store.storeInputs(attempt.jobId, [{ ref, bytes }]);
    const key = `${attempt.jobId}/inputs/${ref.sha256}.webp`;
    await store.put(key, Readable.from([Buffer.from('not really a pictura')]), PICTURE.length);
    await expect(store.inputPath(attempt, ref)).rejects.toThrow(`${key} is not the file`);
  });

  it('cannot be used while the server is gone, and can be when it is back', async () => {
    const fleeting = await S3Server.start();
    await fleeting.createBucket(BUCKET);
    const store = storeOn(fleeting.settings(BUCKET));
    const attempt = newAttempt();
    await stagePicture(store, attempt);
    const picture = stagedFile('0.png', PICTURE);
    await store.adopt(attempt, [picture]);

    await fleeting.kill();
    const failures = await Promise.all(
      [
        store.adopt(attempt, [picture]),
        store.storeInputs(attempt.jobId, [inputOf(PICTURE)]),
        store.open(`${attempt.jobId}/3/0.png`),
        store.checkpointPath(attempt, `${attempt.jobId}/checkpoints/3-c`),
        store.remove(attempt.jobId),
        store.abandonedInputs(),
      ].map(rejectionOf),
    );
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(ArtifactStoreUnavailableError);
      expect(failure.message).toMatch(new RegExp(`s3://${BUCKET}/ at ${fleeting.url}: .*ECONNREFUSED`));
    }

    const back = await S3Server.start(fleeting.port);
    try {
      await back.createBucket(BUCKET);
      const [key] = await store.adopt(attempt, [picture]);
      expect(await text((await store.open(key!))!.stream)).toBe(PICTURE.toString());
    } finally {
      await back.kill();
    }
  });

  it('opens by the settings, tries the bucket out and leaves no trace in it', async () => {
    const storage = new StorageConfig({ dataDir: folder, artifactsDir: join(folder, 'artifacts') });
    const node = { name: 'gpu1' };
    const store = await openArtifactStore({ storage, artifacts: s3.settings(BUCKET), node, log: LOG });
    expect(store).toBeInstanceOf(S3ArtifactStore);
    expect(existsSync(storage.artifactsDir)).toBe(false);
    const probes: string[] = [];
    for await (const { key } of new S3Bucket(BUCKET, s3.settings(BUCKET)).list('.probe')) probes.push(key);
    expect(probes).toEqual([]);
    store.close();
  });

  it('does not open on a bucket that is not there, and says what to do', async () => {
    const settings = s3.settings('nobody-made-this');
    const store = new S3ArtifactStore({
      bucket: new S3Bucket('nobody-made-this', settings, LIMITS),
      stagingDir: folder,
      node: 'gpu1',
    });
    await expect(store.prove()).rejects.toThrow(
      /^Pictures cannot be kept: .*s3:\/\/nobody-made-this\/.*404 NoSuchBucket.* Next step: make the bucket, or correct artifacts\.s3_bucket/,
    );
  });
});

describe('S3ArtifactStore', () => {
  /** A server that plays what a real one answers in trouble, request by request; the last answer is repeated. */
  async function answering(...answers: ((request: IncomingMessage, response: ServerResponse) => void)[]) {
    const seen: { method: string; sha256: string | undefined; body: string }[] = [];
    const server = createServer((request, response) => {
      void text(request).then((body) => {
        const sha256 = request.headers['x-amz-checksum-sha256'] as string | undefined;
        seen.push({ method: request.method ?? '', sha256, body });
        answers[Math.min(seen.length, answers.length) - 1]!(request, response);
      });
    });
    return { url: await listening(server), seen };
  }
  const refusal = (status: number, code: string) => (_: IncomingMessage, response: ServerResponse) => {
    response.writeHead(status, { 'Content-Type': 'application/xml' });
    response.end(`<Error><Code>${code}</Code><Message>what the server says</Message></Error>`);
  };
  const done = (_: IncomingMessage, response: ServerResponse) => void response.writeHead(200).end();

  it('repeats what a server in trouble refused or got damaged, with the whole file and its hash each time', async () => {
    const troubles = [refusal(503, 'SlowDown'), refusal(400, 'BadDigest'), refusal(500, 'InternalError')];
    const { url, seen } = await answering(...troubles, done);
    const store = storeOn(settingsFor(url));
    const attempt = newAttempt();
    await stagePicture(store, attempt);
    expect(await store.adopt(attempt, [stagedFile('0.png', PICTURE)])).toEqual([`${attempt.jobId}/3/0.png`]);
    const sha256 = Buffer.from(stagedFile('', PICTURE).sha256, 'hex').toString('base64');
    const upload = { method: 'PUT', sha256, body: PICTURE.toString() };
    expect(seen).toEqual([upload, upload, upload, upload]);
  });

  it('gives up after a number of tries, and tells no secret', async () => {
    const { url, seen } = await answering(refusal(503, 'SlowDown'));
    const store = storeOn(settingsFor(url));
    const failure = await rejectionOf(store.storeInputs(randomUUID(), [inputOf(PICTURE)]));
    expect(failure).toBeInstanceOf(ArtifactStoreUnavailableError);
    expect(failure.message).toContain(`s3://${BUCKET}/ at ${url}: 503 SlowDown: what the server says`);
    expect(seen).toHaveLength(LIMITS.patience.tries);
    const told = inspect(failure, { depth: 10, showHidden: true }) + JSON.stringify(pino.stdSerializers.err(failure));
    expect(told).not.toMatch(new RegExp(Object.values(ACCESS_KEY).join('|')));
    expect(told).not.toMatch(/Signature=|authorization/i);
  });

  it('does not repeat what was refused for good', async () => {
    const { url, seen } = await answering(refusal(403, 'InvalidAccessKeyId'));
    const failure = await rejectionOf(storeOn(settingsFor(url)).prove());
    expect(failure.message).toMatch(/403 InvalidAccessKeyId.*Next step: correct the access key/);
    expect(seen).toHaveLength(1);
  });

  it('does not wait for a server that takes connections and never answers', async () => {
    const url = await listening(createSilentServer());
    const store = storeOn(settingsFor(url), 'node-a', { patience: { tries: 2, tryMs: 50, backoffMs: 1 } });
    const failure = await rejectionOf(store.dropCheckpoint(`${randomUUID()}/checkpoints/3-c`));
    expect(failure).toBeInstanceOf(ArtifactStoreUnavailableError);
    expect(failure.message).toContain('no answer within 50 ms');
  });

  it('keeps no part of a checkpoint whose answer is cut off', async () => {
    const { url } = await answering((_, response) => {
      response.writeHead(200, { 'Content-Length': '1000' });
      response.write('only the beginning', () => response.socket?.end());
    });
    const store = storeOn(settingsFor(url));
    const attempt = newAttempt();
    const staging = await store.openStaging(attempt);
    const fetching = store.checkpointPath(attempt, `${attempt.jobId}/checkpoints/2-c`);
    await expect(fetching).rejects.toThrow(ArtifactStoreUnavailableError);
    expect(readdirSync(join(staging, 'fetched'))).toEqual([]);
  });

  it('survives that a file is gone when its upload is repeated, and says so', async () => {
    const attempt = newAttempt();
    let staging = '';
    const { url, seen } = await answering((request, response) => {
      rmSync(join(staging, '0.png'), { force: true });
      refusal(503, 'SlowDown')(request, response);
    });
    const store = storeOn(settingsFor(url));
    staging = await store.openStaging(attempt);
    writeFileSync(join(staging, '0.png'), PICTURE);
    const failure = await rejectionOf(store.adopt(attempt, [stagedFile('0.png', PICTURE)]));
    expect(failure).toBeInstanceOf(ArtifactStoreUnavailableError);
    expect(failure.message).toContain('ENOENT');
    expect(seen).toHaveLength(1);
  });

  it('hangs up at once on what it has no room for', async () => {
    const hungUp = Promise.withResolvers<void>();
    const attempt = newAttempt();
    let staging = '';
    const { url } = await answering((_, response) => {
      rmSync(join(staging, 'fetched'), { recursive: true });
      response.once('close', () => hungUp.resolve());
      // As of an upload whose hash the server was told: the client then makes a stream of its own of the answer.
      response.writeHead(200, {
        'Content-Length': '1000',
        'x-amz-checksum-sha256': Buffer.alloc(32).toString('base64'),
      });
      response.write('only the beginning');
    });
    const store = storeOn(settingsFor(url), 'node-a', { patience: { tries: 1, tryMs: 10_000, backoffMs: 1 } });
    staging = await store.openStaging(attempt);
    const fetching = store.checkpointPath(attempt, `${attempt.jobId}/checkpoints/2-c`);
    await expect(fetching).rejects.toThrow(ArtifactStoreUnavailableError);
    await hungUp.promise;
  });

  it('hangs up at once on a picture whose length is not told', async () => {
    const hungUp = Promise.withResolvers<void>();
    const { url } = await answering((_, response) => {
      response.once('close', () => hungUp.resolve());
      response.writeHead(200, { 'x-amz-checksum-sha256': Buffer.alloc(32).toString('base64') });
      response.write('only the beginning');
    });
    const store = storeOn(settingsFor(url), 'node-a', { patience: { tries: 1, tryMs: 10_000, backoffMs: 1 } });
    await expect(store.open(`${randomUUID()}/3/0.png`)).rejects.toThrow('the server does not say how long');
    await hungUp.promise;
  });

  it('tells which key could not be deleted', async () => {
    const page = (_: IncomingMessage, response: ServerResponse) =>
      void response.end('<ListBucketResult><Contents><Key>k</Key><Size>1</Size></Contents></ListBucketResult>');
    const denied = (_: IncomingMessage, response: ServerResponse) =>
      void response.end(
        '<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>',
      );
    const { url } = await answering(page, denied);
    await expect(storeOn(settingsFor(url)).remove(randomUUID())).rejects.toThrow(/cannot delete .*AccessDenied: no/);
  });
});
