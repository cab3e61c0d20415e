import type { GoodClient } from './good-client.js';
import type { JobJson } from './load.js';
import type { Picture } from './pictures.js';
import { pictureOf } from './pictures.js';
import { PICTURE_REQUESTS } from './requests.js';

/** Pictures of every distinct request, drawn one at a time by a server that does nothing else. */
export type References = readonly (readonly Picture[])[];

export async function drawReferences(client: GoodClient): Promise<References> {
  const references: Picture[][] = [];
  for (const request of PICTURE_REQUESTS) {
    const { json: job } = await client.json<JobJson>('/v1/jobs', {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer: 'wait=60' },
      body: JSON.stringify({ model: 'shapes', ...request }),
    });
    if (job.state !== 'succeeded') throw new Error(`a reference ended as ${job.state}: ${JSON.stringify(job)}`);
    references.push(await picturesOf(client, job));
  }
  return references;
}

export function picturesOf(client: GoodClient, job: JobJson): Promise<Picture[]> {
  return Promise.all(
    job.artifacts.map(async ({ url }) => {
      const { status, body } = await client.ask(url);
      if (status !== 200) throw new Error(`${url} of a succeeded job was answered with ${status}`);
      return pictureOf(body);
    }),
  );
}
