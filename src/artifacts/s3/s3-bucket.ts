import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';

import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';

import type { ArtifactsConfig } from '../../config/artifacts.config.js';
import { ArtifactStoreUnavailableError } from '../../jobs/ports/artifact-store.port.js';
import { writeExactly } from '../durable-file.js';
import type { FileFacts } from '../file-facts.js';
import type { Bound, Patience } from './patience.js';
import { PATIENCE, withPatience } from './patience.js';
import { isMissingObject, isTransient, reasonOf } from './s3-errors.js';

/** Milliseconds without a byte after which an answer is given up, also while it streams. */
const IDLE_MS = 30_000;
const CONNECT_MS = 3_000;
/** Streams to slow clients hold a connection each; the calls that keep jobs going must not wait for them. */
const MAX_CONNECTIONS = 256;
/** What the protocol takes in one call. */
const MAX_PAGE = 1000;
/** What the client would warn of on the console comes as an error, or is tried again. */
const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export interface BucketLimits {
  readonly patience: Patience;
  /** Keys a call lists or deletes. */
  readonly pageSize: number;
}

/** Bytes that arrive. */
export interface Incoming {
  readonly stream: Readable;
  readonly bytes: number;
}

/**
 * A bucket, below a prefix, as the few calls a store makes of it. Every call is bounded and made a bounded number of times;
 * what fails for good is an ArtifactStoreUnavailableError that names the bucket and none of the keys to it.
 */
export class S3Bucket {
  /** For errors and the log. */
  readonly name: string;
  private readonly client: S3Client;
  private readonly bucket: string;
  private readonly prefix: string;
  private readonly limits: BucketLimits;

  constructor(bucket: string, config: ArtifactsConfig, limits: Partial<BucketLimits> = {}) {
    this.bucket = bucket;
    this.prefix = config.s3Prefix === null ? '' : `${config.s3Prefix}/`;
    this.name = `s3://${this.bucket}/${this.prefix}${config.s3Endpoint === null ? '' : ` at ${config.s3Endpoint}`}`;
    this.limits = { patience: PATIENCE, pageSize: MAX_PAGE, ...limits };
    const { s3AccessKeyId: accessKeyId, s3SecretAccessKey: secretAccessKey } = config;
    this.client = new S3Client({
      region: config.s3Region,
      forcePathStyle: config.s3ForcePathStyle,
      ...(config.s3Endpoint === null ? {} : { endpoint: config.s3Endpoint }),
      ...(accessKeyId === null || secretAccessKey === null ? {} : { credentials: { accessKeyId, secretAccessKey } }),
      // Tries are counted here: the client itself would not repeat what has a stream for a body.
      maxAttempts: 1,
      // Uploads carry a SHA-256 anyway, and servers other than AWS trip over what the client adds unasked.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      expectContinueHeader: false,
      logger: SILENT,
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        socketTimeout: IDLE_MS,
        httpAgent: { maxSockets: MAX_CONNECTIONS },
        httpsAgent: { maxSockets: MAX_CONNECTIONS },
      },
    });
  }

  async putBytes(key: string, bytes: Uint8Array, sha256: string): Promise<void> {
    await this.call('store', key, ({ signal, allow }) => {
      allow(bytes.byteLength);
      const put = { ...this.at(key), Body: bytes, ContentLength: bytes.byteLength, ChecksumSHA256: base64(sha256) };
      return this.client.send(new PutObjectCommand(put), { abortSignal: signal });
    });
  }

  /** Uploads a file; the server compares the hash and keeps nothing when it is another. */
  async putFile(key: string, path: string, { bytes, sha256 }: FileFacts): Promise<void> {
    await this.call('store', key, async ({ signal, allow }) => {
      allow(bytes);
      const Body = createReadStream(path);
      // The client does not listen: a file that cannot be read (any more) would end this process, and the call would wait.
      const unreadable = Promise.withResolvers<never>();
      const brokenOff = new AbortController();
      Body.on('error', (error) => {
        unreadable.reject(error);
        brokenOff.abort(error);
      });
      try {
        const put = { ...this.at(key), Body, ContentLength: bytes, ChecksumSHA256: base64(sha256) };
        const abortSignal = AbortSignal.any([signal, brokenOff.signal]);
        await Promise.race([this.client.send(new PutObjectCommand(put), { abortSignal }), unreadable.promise]);
      } finally {
        Body.destroy();
      }
    });
  }

  /** The bytes of an object as they come; null when there is none. */
  open(key: string): Promise<Incoming | null> {
    return this.call('read', key, (bound) => this.get(key, bound));
  }

  /** Fetches an object into a new file, all of it; null, and no file, when there is none. */
  fetch(key: string, path: string): Promise<FileFacts | null> {
    return this.call('fetch', key, async (bound) => {
      const found = await this.get(key, bound);
      if (found === null) return null;
      bound.allow(found.bytes);
      return writeExactly(path, key, found.stream, found.bytes);
    });
  }

  /** Keys below a folder, without the prefix, in order. */
  async *list(folder: string): AsyncIterable<{ key: string; bytes: number }> {
    for await (const page of this.pages(folder)) yield* page;
  }

  /** Safe to call twice. */
  async delete(key: string): Promise<void> {
    await this.call('delete', key, ({ signal }) =>
      this.client.send(new DeleteObjectCommand(this.at(key)), { abortSignal: signal }),
    );
  }

  /** Deletes all there is below a folder. */
  async deleteAll(folder: string): Promise<void> {
    for await (const page of this.pages(folder)) {
      await this.call('delete', `${folder}/`, async ({ signal }) => {
        const Objects = page.map(({ key }) => ({ Key: this.prefix + key }));
        const batch = { Bucket: this.bucket, Delete: { Objects, Quiet: true } };
        const { Errors = [] } = await this.client.send(new DeleteObjectsCommand(batch), { abortSignal: signal });
        const [first] = Errors;
        if (first !== undefined) throw new Error(`${first.Code}: ${first.Message} (${Errors.length} objects)`);
      });
    }
  }

  /** Ends idle connections. */
  close(): void {
    this.client.destroy();
  }

  private async *pages(folder: string): AsyncIterable<{ key: string; bytes: number }[]> {
    let after: string | undefined;
    do {
      const page = await this.call('list', `${folder}/`, ({ signal }) => {
        const wanted = { Bucket: this.bucket, Prefix: `${this.prefix}${folder}/`, MaxKeys: this.limits.pageSize };
        const from = after === undefined ? {} : { ContinuationToken: after };
        return this.client.send(new ListObjectsV2Command({ ...wanted, ...from }), { abortSignal: signal });
      });
      const found = (page.Contents ?? []).map(({ Key = '', Size = 0 }) => ({
        key: Key.slice(this.prefix.length),
        bytes: Size,
      }));
      if (found.length > 0) yield found;
      after = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (after !== undefined);
  }

  private async get(key: string, { signal }: Bound): Promise<Incoming | null> {
    try {
      const found = await this.client.send(new GetObjectCommand(this.at(key)), { abortSignal: signal });
      const stream = found.Body as Readable;
      if (found.ContentLength !== undefined) return { stream, bytes: found.ContentLength };
      stream.destroy();
      throw new Error('the server does not say how long the object is');
    } catch (error) {
      if (isMissingObject(error)) return null;
      throw error;
    }
  }

  private at(key: string) {
    return { Bucket: this.bucket, Key: this.prefix + key };
  }

  private async call<T>(verb: string, key: string, make: (bound: Bound) => Promise<T>): Promise<T> {
    try {
      return await withPatience(this.limits.patience, isTransient, make);
    } catch (error) {
      // The client's errors carry the answer and may carry the request; a log shows whatever hangs on a cause.
      throw new BucketUnavailableError(`cannot ${verb} ${key} in ${this.name}: ${reasonOf(error)}`, () => error);
    }
  }
}

/** Keeps what the server said out of reach of a log, and within reach of whoever tells what to do about it. */
export class BucketUnavailableError extends ArtifactStoreUnavailableError {
  readonly #answer: () => unknown;

  constructor(
    readonly reason: string,
    answer: () => unknown,
  ) {
    super(reason);
    this.#answer = answer;
  }

  get answer(): unknown {
    return this.#answer();
  }
}

const base64 = (sha256: string) => Buffer.from(sha256, 'hex').toString('base64');
