import { StoreUnavailableError } from './ports/job-store.port.js';

/** Null: the store of jobs is away, and the caller can do without. */
export async function unlessAway<T>(read: Promise<T>): Promise<T | null> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof StoreUnavailableError) return null;
    throw error;
  }
}
