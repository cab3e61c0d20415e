import type { ModelDescription } from '../../domain/generation/model-description.js';
import type { Effective } from '../../domain/job/job.js';

/** Longest name that is looked up; those of models are much shorter. */
const MAX_NAME_CHARS = 300;

/** Hex digits of a hash as AUTOMATIC1111 shows it. */
const SHORT_HASH_DIGITS = 10;

interface Models {
  find(id: string): ModelDescription | null;
  list(): readonly ModelDescription[];
}

/** `name [1a2b3c4d]` as titles are written there: the name. */
export function withoutHash(title: string): string {
  return title.replace(/\s*\[[0-9a-f]*\]\s*$/i, '').trim();
}

/** A model by what clients call it: its id, alone or as a title, also as the file name they remember. */
export function findModel(name: unknown, models: Models): ModelDescription | null {
  if (typeof name !== 'string' || name.length > MAX_NAME_CHARS) return null;
  const plain = withoutHash(name);
  const stem = plain.replace(/\.(?:safetensors|ckpt)$/i, '');
  return models.find(name.trim()) ?? models.find(plain) ?? models.find(stem);
}

/** Of the weights a job was run with; null: it has not run, or its worker did not tell. */
export function hashOf(effective: Effective | null): string | null {
  const hash = effective?.['weights_sha256'];
  return shortHash(typeof hash === 'string' ? hash : null);
}

/** Null: no worker has told it. */
export function shortHash(sha256: string | null): string | null {
  return sha256 === null || sha256 === '' ? null : sha256.slice(0, SHORT_HASH_DIGITS);
}
