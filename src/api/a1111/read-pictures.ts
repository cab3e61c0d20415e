import { buffer } from 'node:stream/consumers';

import { seedsOf } from '../../domain/generation/generation-request.js';
import type { Job } from '../../domain/job/job.js';
import type { ArtifactStore } from '../../jobs/ports/artifact-store.port.js';
import { openArtifact } from '../../jobs/query/open-artifact.js';
import { withPngText } from '../../png/texts.js';
import { writeInfotext } from './infotext/write-infotext.js';

/**
 * The pictures of a finished job in base64, with their infotext in them. It is written here and not by the worker: a picture
 * has the same bytes and hash whatever dialect asked for it, and this is the form of one dialect.
 */
export async function readPictures(job: Job, store: ArtifactStore): Promise<string[]> {
  const { request, effective, artifacts } = job;
  const pictures: string[] = [];
  const seeds = seedsOf(request);
  // One after the other: a request may have sixteen of them.
  for (const artifact of artifacts.toSorted((one, other) => one.index - other.index)) {
    const { index, mediaType, seed } = artifact;
    const bytes = await buffer(await openArtifact(store, job, artifact));
    const told =
      mediaType === 'image/png'
        ? withPngText(bytes, 'parameters', writeInfotext(request, effective, seeds[index] ?? seed))
        : bytes;
    pictures.push(told.toString('base64'));
  }
  return pictures;
}
