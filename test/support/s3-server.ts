import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { execa } from 'execa';

import { ArtifactsConfig } from '../../src/config/artifacts.config.js';

const PYTHON = join('python-worker', '.venv', 'bin', 'python');

export const ACCESS_KEY = { s3AccessKeyId: 'AKIATESTONLY', s3SecretAccessKey: 'this-is-the-test-secret' };

/** Why there is no S3 server to test against; null when there is one. It comes with the development requirements. */
export function whyNoS3Server(): string | null {
  const look = 'import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in ("moto", "flask_cors")))';
  return spawnSync(PYTHON, ['-c', look]).status === 0
    ? null
    : 'moto is not installed: see python-worker/requirements-dev.txt';
}

/** A real S3 server in a process of its own. What it holds is gone when it ends. */
export class S3Server {
  private constructor(
    private readonly child: ReturnType<typeof spawn>,
    readonly port: number,
  ) {}

  /** On a free port, or again on that of an earlier one. */
  static async start(port = 0): Promise<S3Server> {
    const child = spawn(port);
    for await (const line of createInterface({ input: child.stderr })) {
      const listening = /Running on http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
      if (listening === null) continue;
      // Its log of requests would fill the pipe.
      child.stderr.resume();
      return new S3Server(child, Number(listening[1]));
    }
    throw new Error(`the S3 server did not start: ${(await child).stderr}`);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  settings(bucket: string, changes: Partial<ArtifactsConfig> = {}): ArtifactsConfig {
    const settings = { ...ACCESS_KEY, s3Bucket: bucket, s3Endpoint: this.url, s3Region: 'us-east-1' };
    return new ArtifactsConfig({ ...settings, s3ForcePathStyle: true, ...changes });
  }

  async createBucket(name: string): Promise<void> {
    const credentials = { accessKeyId: ACCESS_KEY.s3AccessKeyId, secretAccessKey: ACCESS_KEY.s3SecretAccessKey };
    const client = new S3Client({ endpoint: this.url, region: 'us-east-1', forcePathStyle: true, credentials });
    try {
      await client.send(new CreateBucketCommand({ Bucket: name }));
    } finally {
      client.destroy();
    }
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.child;
  }
}

function spawn(port: number) {
  return execa(PYTHON, ['-u', '-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
    stdin: 'ignore',
    stdout: 'ignore',
    reject: false,
    // Kept, a log of all requests would grow with every test.
    buffer: false,
    env: { PYTHONDONTWRITEBYTECODE: '1' },
  });
}
