import type { Readable } from 'node:stream';

import { ArtifactStore } from '../jobs/ports/artifact-store.port.js';
import { ArtifactMissingError } from '../jobs/ports/artifact-transfer.port.js';
import type { Attempt } from './artifact-keys.js';
import { orUnavailable } from './or-unavailable.js';
import type { StagingFolder } from './staging-folder.js';

/** What stores have in common whose attempts work on files of this node, wherever the artifacts end up. */
export abstract class StagedArtifactStore extends ArtifactStore {
  constructor(protected readonly staging: StagingFolder) {
    super();
  }

  openStaging(attempt: Attempt): Promise<string> {
    return orUnavailable(() => this.staging.open(attempt));
  }

  async dropStaging(attempt: Attempt): Promise<void> {
    await orUnavailable(() => this.staging.drop(attempt));
  }

  async dropAllStaging(): Promise<void> {
    await orUnavailable(() => this.staging.dropAll());
  }

  async read(key: string): Promise<Readable> {
    const found = await this.open(key);
    if (found === null) throw new ArtifactMissingError(key);
    return found.stream;
  }
}
