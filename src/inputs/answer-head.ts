import type { IncomingHttpHeaders } from 'node:http';

import type { PictureRefusal } from '../jobs/ports/picture-source.port.js';

/** What to do with an answer, from its status and headers. What they say of its type is not believed. */
export type HeadVerdict =
  | { readonly next: 'read' }
  | { readonly next: 'follow'; readonly location: string }
  | { readonly next: 'refuse'; readonly refusal: PictureRefusal };

const REDIRECTS = [301, 302, 303, 307, 308];

export function judgeHead(status: number, headers: IncomingHttpHeaders, maxBytes: number): HeadVerdict {
  if (REDIRECTS.includes(status) && headers.location !== undefined)
    return { next: 'follow', location: headers.location };
  if (status !== 200) return refuse('bad_answer', `was answered with ${status} by its host`, { status: 200 });
  const encoding = headers['content-encoding'] ?? 'identity';
  // A few kilobytes of it would unpack to gigabytes; no picture format gains by it.
  if (encoding.toLowerCase() !== 'identity')
    return refuse('bad_answer', 'came compressed although it must not', { content_encoding: 'identity' });
  // Whether it is true shows as the body is read.
  if (Number(headers['content-length'] ?? 0) > maxBytes)
    return { next: 'refuse', refusal: tooManyBytes(maxBytes, 'inputs.max_bytes') };
  return { next: 'read' };
}

export function tooManyBytes(maxBytes: number, setting: string): PictureRefusal {
  const together = setting === 'inputs.max_bytes' ? '' : ' together with the others of the submission';
  return {
    kind: 'too_large',
    message: `must have at most ${maxBytes} bytes${together}`,
    limit: { max_bytes: maxBytes, setting },
  };
}

function refuse(kind: PictureRefusal['kind'], message: string, limit: unknown): HeadVerdict {
  return { next: 'refuse', refusal: { kind, message, limit } };
}
