import type { Readable } from 'node:stream';

/** A file a worker left in a staging folder. */
export interface StagedFile {
  readonly fileName: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Where finished pictures live, and where attempts leave theirs first. */
export abstract class ArtifactStore {
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
  /** Removes all artifacts of a job. */
  abstract remove(jobId: string): Promise<void>;
}
