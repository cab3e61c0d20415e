import { createHash, randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import type { ImageRef } from '../../domain/generation/image-ref.js';
import { imageFileName } from '../../domain/generation/image-ref.js';
import type { InputFile, StagedFile } from '../../jobs/ports/artifact-store.port.js';
import type { ArtifactTransfer } from '../../jobs/ports/artifact-transfer.port.js';
import { ArtifactMissingError } from '../../jobs/ports/artifact-transfer.port.js';
import type { Attempt } from '../artifact-keys.js';
import {
  artifactKey,
  attemptFolder,
  checkpointKey,
  checkpointsFolder,
  inputKey,
  jobFolder,
  keyOfJob,
  plainName,
  safeKey,
} from '../artifact-keys.js';
import { writeExactly } from '../durable-file.js';
import { DamagedFileError, hashFile, sizeOf, verifyFile } from '../file-facts.js';
import { StagedArtifactStore } from '../staged-artifact-store.js';
import { StagingFolder } from '../staging-folder.js';
import { orUnavailable } from '../or-unavailable.js';
import { UnusableArtifactStoreError } from '../unusable-artifact-store.error.js';
import type { S3Bucket } from './s3-bucket.js';
import { BucketUnavailableError } from './s3-bucket.js';
import { nextStepFor } from './s3-errors.js';

const SHA256_OF_NOTHING = sha256Of(Buffer.alloc(0));

export interface S3ArtifactStoreOptions {
  readonly bucket: S3Bucket;
  /** Folder of this node alone, on its own disk, for what attempts read and write. */
  readonly stagingDir: string;
  readonly node: string;
}

/**
 * Artifacts in a bucket, under the keys they would have in a folder. Attempts work on files of this node: what they need is
 * fetched to its staging folder, what they leave is uploaded from there, whole or not at all. The bucket is durable when it
 * has answered. Inputs are announced by an empty object `.unsettled/<node>/<job>` until their row is written.
 */
export class S3ArtifactStore extends StagedArtifactStore implements ArtifactTransfer {
  private readonly bucket: S3Bucket;
  private readonly unsettled: string;
  private readonly node: string;
  /** Announced by this process: their rows may be on their way. */
  private readonly ours = new Set<string>();

  constructor({ bucket, stagingDir, node }: S3ArtifactStoreOptions) {
    super(new StagingFolder(stagingDir));
    this.bucket = bucket;
    this.node = plainName('the name of a node', node);
    this.unsettled = `.unsettled/${this.node}`;
  }

  async storeInputs(jobId: string, files: readonly InputFile[]): Promise<void> {
    this.ours.add(jobId);
    await this.bucket.putBytes(this.markOf(jobId), Buffer.alloc(0), SHA256_OF_NOTHING);
    await inParallel(files, ({ ref, bytes }) => this.bucket.putBytes(inputKey(jobId, ref), bytes, sha256Of(bytes)));
  }

  async settleInputs(jobId: string): Promise<void> {
    await this.bucket.delete(this.markOf(jobId));
    this.ours.delete(jobId);
  }

  async abandonedInputs(): Promise<string[]> {
    const found: string[] = [];
    for await (const { key } of this.bucket.list(this.unsettled)) found.push(key.slice(this.unsettled.length + 1));
    return found.filter((jobId) => !this.ours.has(jobId));
  }

  async inputPath(attempt: Attempt, ref: ImageRef): Promise<string> {
    const key = inputKey(attempt.jobId, ref);
    const path = await this.fetchOnce(attempt, key, imageFileName(ref));
    if (path === null) throw new ArtifactMissingError(key);
    await orUnavailable(() => verifyFile(path, key, ref));
    return path;
  }

  async keepCheckpoint(attempt: Attempt, fileName: string): Promise<string> {
    const path = this.staging.fileOf(attempt, fileName);
    const key = checkpointKey(attempt, fileName);
    await orUnavailable(async () => {
      const bytes = await sizeOf(path);
      if (bytes === null) throw new DamagedFileError(fileName, 'a checkpoint', 'no file');
      await this.bucket.putFile(key, path, { bytes, sha256: await hashFile(path) });
      await rm(path, { force: true });
    });
    return key;
  }

  checkpointPath(attempt: Attempt, key: string): Promise<string | null> {
    return this.fetchOnce(attempt, safeKey(key), key.slice(key.lastIndexOf('/') + 1));
  }

  async dropCheckpoint(key: string): Promise<void> {
    await this.bucket.delete(safeKey(key));
  }

  async dropCheckpoints(jobId: string): Promise<void> {
    await this.bucket.deleteAll(checkpointsFolder(jobId));
  }

  async adopt(attempt: Attempt, files: readonly StagedFile[]): Promise<string[]> {
    const uploads = files.map((file) => ({
      file,
      path: this.staging.fileOf(attempt, file.fileName),
      key: artifactKey(attempt, file.fileName),
    }));
    await orUnavailable(async () => {
      for (const { file, path } of uploads) await verifyFile(path, file.fileName, file);
      await inParallel(uploads, ({ file, path, key }) => this.bucket.putFile(key, path, file));
    });
    return uploads.map(({ key }) => key);
  }

  async open(key: string) {
    return this.bucket.open(safeKey(key));
  }

  async discard(attempt: Attempt): Promise<void> {
    await this.bucket.deleteAll(attemptFolder(attempt));
  }

  async remove(jobId: string): Promise<void> {
    await this.bucket.deleteAll(jobFolder(jobId));
    await this.settleInputs(jobId);
  }

  keys(jobId: string): AsyncIterable<{ key: string; bytes: number }> {
    return this.bucket.list(jobFolder(jobId));
  }

  /** By way of a file: an upload that is cut off can be repeated from there, and the server is told the hash beforehand. */
  async put(key: string, stream: Readable, bytes: number): Promise<void> {
    keyOfJob(key);
    await orUnavailable(() =>
      this.staging.withScratch(async (scratch) => {
        const path = join(scratch, 'incoming');
        await this.bucket.putFile(key, path, await writeExactly(path, key, stream, bytes));
      }),
    );
  }

  /** Tries out all that serving needs. Rejects with {@link UnusableArtifactStoreError}. */
  async prove(): Promise<void> {
    // Nodes that share the bucket may do this at the same moment.
    const folder = `.probe/${this.node}-${randomUUID()}`;
    const probe = `${folder}/probe`;
    const bytes = Buffer.from(probe);
    try {
      await this.staging.withScratch(() => Promise.resolve());
    } catch (error) {
      const reason = `the folder ${this.staging.path} cannot be written (${(error as Error).message})`;
      throw new UnusableArtifactStoreError(reason, 'make it writable for this user, or choose another data_dir.');
    }
    try {
      await this.bucket.putBytes(probe, bytes, sha256Of(bytes));
      const found = await this.bucket.open(probe);
      const isSame = found !== null && (await buffer(found.stream)).equals(bytes);
      await this.bucket.deleteAll(folder);
      if (!isSame) throw new Error('what was read is not what was written');
    } catch (error) {
      if (error instanceof BucketUnavailableError)
        throw new UnusableArtifactStoreError(error.reason, nextStepFor(error.answer));
      const reason = error instanceof Error ? error.message : String(error);
      throw new UnusableArtifactStoreError(`${this.bucket.name}: ${reason}`, nextStepFor(error));
    }
  }

  /** Ends idle connections. */
  close(): void {
    this.bucket.close();
  }

  /** Path of an object in what is fetched for an attempt; null when there is no such object. */
  private fetchOnce(attempt: Attempt, key: string, fileName: string): Promise<string | null> {
    return orUnavailable(async () => {
      const path = await this.staging.fetchedFor(attempt, fileName);
      if ((await sizeOf(path)) !== null) return path;
      // Two calls at once may want the same file: each fetches under a name of its own, and the last to rename wins.
      const arriving = `${path}.${randomUUID()}`;
      if ((await this.bucket.fetch(key, arriving)) === null) return null;
      await rename(arriving, path);
      return path;
    });
  }

  private markOf(jobId: string): string {
    return `${this.unsettled}/${jobFolder(jobId)}`;
  }
}

/** Does all at once; rejects with the first failure when none is under way any more. */
async function inParallel<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  for (const outcome of await Promise.allSettled(items.map(act))) {
    if (outcome.status === 'rejected') throw outcome.reason;
  }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
