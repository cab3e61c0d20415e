import type { IncomingMessage } from 'node:http';

import type { PictureRefusal } from '../jobs/ports/picture-source.port.js';
import type { Surroundings } from '../net/guarded-request.js';
import { guardedRequest, PrivateAddressError } from '../net/guarded-request.js';
import { judgeHead } from './answer-head.js';
import type { BodyBounds } from './picture-body.js';
import { PictureBody } from './picture-body.js';
import { privateAddress } from './url-policy.js';

/** What one address answered. */
export type Download =
  | { readonly outcome: 'picture'; readonly bytes: Uint8Array }
  | { readonly outcome: 'redirect'; readonly location: string }
  | { readonly outcome: 'refused'; readonly refusal: PictureRefusal };

export interface DownloadOptions extends BodyBounds {
  readonly allowPrivateAddresses: boolean;
  readonly surroundings: Surroundings;
  /** Ends it at once; what it then comes to is `unreachable`, and whoever aborted knows better. */
  readonly signal: AbortSignal;
}

const HEADERS = {
  accept: 'image/png, image/jpeg, image/webp',
  'accept-encoding': 'identity',
  'user-agent': 'safelight',
};

/** Asks one address once. Follows nothing, sends nothing but the address, never rejects. */
export async function download(target: URL, options: DownloadOptions): Promise<Download> {
  let response: IncomingMessage | null = null;
  try {
    response = await head(target, options);
    const verdict = judgeHead(response.statusCode ?? 0, response.headers, options.maxBytes);
    if (verdict.next === 'follow') return { outcome: 'redirect', location: verdict.location };
    if (verdict.next === 'refuse') return refused(verdict.refusal);
    return await read(response, options);
  } catch (error) {
    return refused(error instanceof PrivateAddressError ? privateAddress() : unreachable(error));
  } finally {
    response?.destroy();
  }
}

function head(target: URL, options: DownloadOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { allowPrivateAddresses, surroundings, signal } = options;
    const request = guardedRequest(
      target,
      { method: 'GET', headers: HEADERS, signal, allowPrivateAddresses, surroundings },
      resolve,
    );
    request.on('error', reject);
    // Neither an answer nor an error comes of one that would change the protocol (101).
    request.on('close', () => reject(new Error('closed without an answer')));
    request.end();
  });
}

async function read(response: IncomingMessage, bounds: BodyBounds): Promise<Download> {
  const body = new PictureBody(bounds);
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    const refusal = body.add(chunk);
    if (refusal !== null) return refused(refusal);
  }
  const whole = body.finish();
  return 'bytes' in whole ? { outcome: 'picture', bytes: whole.bytes } : refused(whole.refusal);
}

/** The code alone: a message of the system would tell addresses of this network. */
function unreachable(error: unknown): PictureRefusal {
  const { code = 'no answer' } = error as NodeJS.ErrnoException;
  return { kind: 'unreachable', message: `could not be fetched: ${code}`, limit: { reachable: true } };
}

function refused(refusal: PictureRefusal): Download {
  return { outcome: 'refused', refusal };
}
