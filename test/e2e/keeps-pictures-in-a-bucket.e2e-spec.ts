import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { S3Server, whyNoS3Server } from '../support/s3-server.js';
import { ServerProcess } from '../support/server-process.js';
import { eventually } from '../support/signals.js';

const BUCKET = 'safelight-e2e';
const REQUEST = { prompt: 'a red circle', num_inference_steps: 6, seed: 3 };

const missing = whyNoS3Server();
const describeOnS3 = missing === null ? describe : describe.skip;
if (missing !== null) process.stderr.write(`Pictures in a bucket are not tested: ${missing}\n`);

describeOnS3('a server that keeps its pictures in a bucket', () => {
  let s3: S3Server;
  let server: ServerProcess;
  beforeAll(async () => {
    s3 = await S3Server.start();
    await s3.createBucket(BUCKET);
    const { s3AccessKeyId, s3SecretAccessKey } = s3.settings(BUCKET);
    const artifacts = {
      s3_bucket: BUCKET,
      s3_endpoint: s3.url,
      s3_access_key_id: s3AccessKeyId,
      s3_secret_access_key: s3SecretAccessKey,
    };
    server = await ServerProcess.start({ artifacts });
    await server.workerPid();
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
    await s3.kill();
  });

  const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

  it('serves them from there, and draws from them', async () => {
    const first = await server.finished((await server.submit(REQUEST)).id);
    const picture = await server.picture(first);
    expect(sha256Of(picture)).toBe(first.artifacts[0]!.sha256);
    const from = { ...REQUEST, init_image: picture.toString('base64'), strength: 0.5 };
    const second = await server.finished((await server.submit(from)).id);
    expect(second).toMatchObject({ state: 'succeeded', failure: null });
    expect(sha256Of(await server.picture(second))).toBe(second.artifacts[0]!.sha256);
    expect(existsSync(join(server.dataDir, 'artifacts'))).toBe(false);
  });

  it('finishes a job whose picture it could not store at first', async () => {
    const job = await server.submit({ ...REQUEST, num_inference_steps: 150 });
    await server.denoising(job.id);
    await s3.kill();
    const refused = await server.post('/v1/jobs', { ...REQUEST, init_image: PIXEL });
    expect(refused.status).toBe(503);
    const { progress } = await eventually('the picture is drawn', async () => {
      const now = await server.job(job.id);
      if (now.state !== 'running')
        throw new Error(`the job is ${now.state} without its picture: ${now.failure?.message}`);
      return now.progress?.phase === 'save' ? now : null;
    });
    expect(progress?.phase).toBe('save');
    s3 = await S3Server.start(s3.port);
    await s3.createBucket(BUCKET);
    const finished = await server.finished(job.id);
    expect(finished).toMatchObject({ state: 'succeeded', failure: null });
    expect(finished.attempts).toHaveLength(1);
    expect(sha256Of(await server.picture(finished))).toBe(finished.artifacts[0]!.sha256);
  });
});

/** The smallest picture a request can bring. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
