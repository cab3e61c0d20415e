import type { Readable } from 'node:stream';

/** There is nothing under the key: it was removed since it was listed. */
export class ArtifactMissingError extends Error {
  constructor(readonly key: string) {
    super(`there is no artifact ${key}`);
    this.name = 'ArtifactMissingError';
  }
}

/**
 * Moves files between stores, for `safelight export` and `import`; a port apart from ArtifactStore, because nothing that
 * serves jobs needs it. Keys have the same form in every store, so a row moves without being rewritten. Every call rejects
 * with ArtifactStoreUnavailableError when the store cannot be used now, and may then be repeated.
 */
export abstract class ArtifactTransfer {
  /** All a job keeps: pictures, inputs, checkpoints. Nothing for a job that keeps nothing. */
  abstract keys(jobId: string): AsyncIterable<{ readonly key: string; readonly bytes: number }>;
  /** Rejects with {@link ArtifactMissingError}. Whoever does not read to the end destroys it. */
  abstract read(key: string): Promise<Readable>;
  /**
   * Keeps the bytes of a stream, durably, instead of whatever the key held. Rejects with an error that says what was
   * expected, and leaves nothing new, when there are more or fewer than `bytes` of them or the key is none of a job.
   */
  abstract put(key: string, stream: Readable, bytes: number): Promise<void>;
}
