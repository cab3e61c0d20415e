import type { Readable } from 'node:stream';

import type { ImageRef } from '../../domain/generation/image-ref.js';

/** A file a worker left in a staging folder. */
export interface StagedFile {
  readonly fileName: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A picture a job starts from. */
export interface InputFile {
  readonly ref: ImageRef;
  readonly bytes: Uint8Array;
}

/**
 * Nothing can be kept now, or read: the disk is full or gone, the bucket does not answer. Every call may reject with it, and
 * may be made again: what it had done by then is found done. Nothing of it is left but what {@link ArtifactStore.remove}
 * removes.
 */
export class ArtifactStoreUnavailableError extends Error {
  constructor(reason: string, cause?: Error) {
    super(`the store of pictures is unavailable: ${reason}`, { cause });
    this.name = 'ArtifactStoreUnavailableError';
  }
}

/** Where finished pictures live, those jobs start from, and where attempts leave theirs first. */
export abstract class ArtifactStore {
  /**
   * Keeps the pictures a job starts from, durably, before its row is written. Whoever crashes before {@link settleInputs}
   * leaves them to {@link abandonedInputs}. Rejects with {@link ArtifactStoreUnavailableError}.
   */
  abstract storeInputs(jobId: string, files: readonly InputFile[]): Promise<void>;
  /** The job's row is written: its inputs stay until {@link remove}. */
  abstract settleInputs(jobId: string): Promise<void>;
  /**
   * Jobs whose inputs a former life of this node stored and did not settle: some have a row, others never got one.
   */
  abstract abandonedInputs(): Promise<readonly string[]>;
  /** Absolute path at which a worker of this node can read an input of a job; it holds until {@link dropStaging}. */
  abstract inputPath(attempt: { jobId: string; token: number }, ref: ImageRef): Promise<string>;
  /**
   * Moves a checkpoint out of the staging folder to where every node can read it, durably; returns its key. The worker may
   * be writing the next one under another name meanwhile.
   */
  abstract keepCheckpoint(attempt: { jobId: string; token: number }, fileName: string): Promise<string>;
  /**
   * Absolute path at which a worker of this node can read a checkpoint; it holds until {@link dropStaging}. Null: it is no
   * longer there.
   */
  abstract checkpointPath(attempt: { jobId: string; token: number }, key: string): Promise<string | null>;
  /** Removes a checkpoint. Safe to call twice. */
  abstract dropCheckpoint(key: string): Promise<void>;
  /** Removes all checkpoints of a job that goes on no more. Safe to call twice. */
  abstract dropCheckpoints(jobId: string): Promise<void>;
  /** Makes an empty folder that belongs to this attempt alone and returns its absolute path. */
  abstract openStaging(attempt: { jobId: string; token: number }): Promise<string>;
  /** Moves staged files in, atomically and durably each, after checking size and hash; returns their keys in order. */
  abstract adopt(attempt: { jobId: string; token: number }, files: readonly StagedFile[]): Promise<readonly string[]>;
  /** Removes an attempt's staging folder. Safe to call twice. */
  abstract dropStaging(attempt: { jobId: string; token: number }): Promise<void>;
  /** Removes all staging folders of this node: at start, when no attempt lives. */
  abstract dropAllStaging(): Promise<void>;
  /** The bytes of an artifact; null when it is not there. */
  abstract open(key: string): Promise<{ stream: Readable; bytes: number } | null>;
  /** Removes what an attempt had adopted: its claim was lost, and no row names it. */
  abstract discard(attempt: { jobId: string; token: number }): Promise<void>;
  /** Removes all artifacts, inputs and checkpoints of a job. */
  abstract remove(jobId: string): Promise<void>;
}
