import { isNativeError } from 'node:util/types';

import { ArtifactStoreUnavailableError } from '../jobs/ports/artifact-store.port.js';

/** What the system refuses is told as the port says; everything else is no matter of the disk and stays as it is. */
export async function orUnavailable<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!isNativeError(error) || !('syscall' in error)) throw error;
    throw new ArtifactStoreUnavailableError(error.message, error);
  }
}
