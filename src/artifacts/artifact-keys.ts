import type { ImageRef } from '../domain/generation/image-ref.js';
import { imageFileName } from '../domain/generation/image-ref.js';

/** An attempt, named by the claim it runs under. */
export type Attempt = { readonly jobId: string; readonly token: number };

/** Names that are one step of a path and cannot lead out of their folder: no slash, no dot at the start. As long as a node's. */
const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** A name or a key that could lead anywhere but to a file of one job. */
export class UnsafeNameError extends Error {
  constructor(what: string, name: string) {
    super(`${JSON.stringify(name.slice(0, 200))} cannot be ${what}`);
    this.name = 'UnsafeNameError';
  }
}

// The form of keys. It is the same in every store, so that rows may move between stores. The token of the claim is part of
// it: two attempts of a job never write the same file.

export const jobFolder = (jobId: string) => plainName('the id of a job', jobId);
export const attemptFolder = ({ jobId, token }: Attempt) => `${jobFolder(jobId)}/${token}`;
export const inputsFolder = (jobId: string) => `${jobFolder(jobId)}/inputs`;
export const checkpointsFolder = (jobId: string) => `${jobFolder(jobId)}/checkpoints`;

export const artifactKey = (attempt: Attempt, fileName: string) =>
  `${attemptFolder(attempt)}/${plainName('the name of a picture', fileName)}`;
export const inputKey = (jobId: string, ref: ImageRef) => `${inputsFolder(jobId)}/${imageFileName(ref)}`;
export const checkpointKey = ({ jobId, token }: Attempt, fileName: string) =>
  `${checkpointsFolder(jobId)}/${token}-${plainName('the name of a checkpoint', fileName)}`;

/** The name itself, when it is one step of a path. */
export function plainName(what: string, name: string): string {
  if (!PLAIN_NAME.test(name)) throw new UnsafeNameError(what, name);
  return name;
}

/** The key itself, when it leads below the place of artifacts and not to what the store keeps there for itself. */
export function safeKey(key: string): string {
  if (!key.split('/').every((step) => PLAIN_NAME.test(step))) throw new UnsafeNameError('the key of an artifact', key);
  return key;
}

/** The key itself, when it has the form of those a job's files have. */
export function keyOfJob(key: string): string {
  if (safeKey(key).split('/').length !== 3) throw new UnsafeNameError('the key of an artifact of a job', key);
  return key;
}
