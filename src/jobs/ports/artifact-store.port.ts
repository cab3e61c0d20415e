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

/** Nothing can be kept now: the disk is full or gone. Nothing of the call is left but what {@link ArtifactStore.remove} removes. */
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
  /** Jobs whose inputs a former life stored and did not settle: some have a row, others never got one. */
  abstract abandonedInputs(): Promise<readonly string[]>;
  /** Absolute path at which a worker reads an input of a job. */
  abstract inputPath(jobId: string, ref: ImageRef): string;
  /** Makes an empty folder that belongs to this attempt alone and returns its absolute path. */
  abstract openStaging(attempt: { jobId: string; token: number }): Promise<string>;
  /** Moves staged files in, atomically and durably each, after checking size and hash; returns their keys in order. */
  abstract adopt(attempt: { jobId: string; token: number }, files: readonly StagedFile[]): Promise<readonly string[]>;
  /** Removes an attempt's staging folder. Safe to call twice. */
  abstract dropStaging(attempt: { jobId: string; token: number }): Promise<void>;
  /** Removes all staging folders: at start, when no attempt lives. */
  abstract dropAllStaging(): Promise<void>;
  /** The bytes of an artifact; null when it is not there. */
  abstract open(key: string): Promise<{ stream: Readable; bytes: number } | null>;
  /** Removes what an attempt had adopted: its claim was lost, and no row names it. */
  abstract discard(attempt: { jobId: string; token: number }): Promise<void>;
  /** Removes all artifacts and inputs of a job. */
  abstract remove(jobId: string): Promise<void>;
}
