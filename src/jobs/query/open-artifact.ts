import type { Readable } from 'node:stream';

import type { Artifact, Job } from '../../domain/job/job.js';
import type { ArtifactStore } from '../ports/artifact-store.port.js';

/** The bytes of an artifact of a job; whoever opens them destroys the stream. Rejects when the file is gone: a defect. */
export async function openArtifact(
  store: ArtifactStore,
  { id }: Pick<Job, 'id'>,
  { index, key }: Artifact,
): Promise<Readable> {
  const opened = await store.open(key);
  if (opened === null) throw new Error(`artifact ${index} of job ${id} is on record, but its file is gone`);
  return opened.stream;
}
