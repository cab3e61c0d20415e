import type { Readable } from 'node:stream';

import type { Artifact, Job } from '../../domain/job/job.js';
import type { AnswerTerms } from './read-parameters.js';

/** How the files of a job are come by. */
export interface ImageFiles {
  /** Where clients may fetch it. */
  url(artifact: Artifact): string;
  /** Whoever opens it destroys it. */
  open(artifact: Artifact): Promise<Readable>;
}

/** Nothing here counts tokens; clients that add them up find zeros. */
export const USAGE = {
  input_tokens: 0,
  input_tokens_details: { text_tokens: 0, image_tokens: 0 },
  output_tokens: 0,
  total_tokens: 0,
} as const;

/** What is told of all pictures of an answer, and with each event of a stream. */
export function settingsOf(
  { mediaType, width, height }: Pick<Artifact, 'mediaType' | 'width' | 'height'>,
  terms: AnswerTerms,
) {
  return {
    background: 'opaque',
    output_format: mediaType.replace('image/', ''),
    quality: terms.quality,
    size: `${width}x${height}`,
  } as const;
}

/** Seconds since 1970. */
export function seconds(at: number): number {
  return Math.floor(at / 1000);
}

/**
 * The answer as JSON, piece by piece: ten large pictures in base64 are more than is held in memory for each of many clients.
 * Opens the first picture before the first piece; whoever stops half-way closes the one that is open.
 */
export async function* imagesAnswer(job: Job, terms: AnswerTerms, files: ImageFiles): AsyncGenerator<string> {
  let before = '';
  for (const artifact of job.artifacts) {
    before ||= `${headOf(job, artifact, terms)},"data":[`;
    const url = terms.responseFormat === 'b64_json' ? {} : { url: files.url(artifact) };
    const facts = JSON.stringify({ ...url, revised_prompt: job.request.prompt });
    if (terms.responseFormat === 'url') {
      yield before + facts;
    } else {
      const stream = await files.open(artifact);
      try {
        yield `${before}{"b64_json":"`;
        yield* base64Of(stream);
        yield `",${facts.slice(1)}`;
      } finally {
        stream.destroy();
      }
    }
    before = ',';
  }
  yield `],"usage":${JSON.stringify(USAGE)}}`;
}

/** Without its closing brace. */
function headOf(job: Job, artifact: Artifact, terms: AnswerTerms): string {
  const head = { created: seconds(job.finishedAt ?? job.createdAt), ...settingsOf(artifact, terms) };
  return JSON.stringify(head).slice(0, -1);
}

/** Base64 of a stream; three bytes make four characters, so that a rest waits for the next chunk. */
export async function* base64Of(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % 3);
    rest = bytes.subarray(whole);
    if (whole > 0) yield bytes.toString('base64', 0, whole);
  }
  if (rest.length > 0) yield rest.toString('base64');
}
