import { ArtifactStoreUnavailableError } from '../../jobs/ports/artifact-store.port.js';
import { StoreUnavailableError } from '../../jobs/ports/job-store.port.js';
import { Problem } from './problem.js';

/** A server that stops, a store that was lost or a disk that was full is back, or replaced, in about this time. */
const BACK_SECONDS = 5;

/** The refusal of what can be had later. */
export function unavailable(detail: string, retryAfterSeconds = BACK_SECONDS): Problem {
  return new Problem('unavailable', detail, { headers: { 'Retry-After': String(retryAfterSeconds) } });
}

/** What a store that was out of reach means to whoever asked; null: the error is another one. */
export function storeUnavailable(error: unknown): Problem | null {
  const store = storeBehind(error);
  return store === null ? null : unavailable(`the store of ${store} cannot be used now; nothing was written`);
}

/** The end of a wait for a job that is not over, in dialects whose clients cannot ask for it again. */
export function stoppedWaiting(): Problem {
  return unavailable('the server stops, or lost its store of jobs, before the pictures were made');
}

function storeBehind(error: unknown): 'jobs' | 'pictures' | null {
  if (error instanceof StoreUnavailableError) return 'jobs';
  return error instanceof ArtifactStoreUnavailableError ? 'pictures' : null;
}
