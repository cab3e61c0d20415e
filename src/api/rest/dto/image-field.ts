import { z } from 'zod';

import { Picture, PictureUrl } from '../../../jobs/submit/picture.js';
import { MAX_IMAGE_BYTES } from '../../../jobs/submit/resolve-images.js';

/** `data:image/png;base64,`; what it says of the type is not believed, the bytes tell. */
const DATA_URL = /^data:[^,]{0,200};base64,/i;

const URL_SCHEME = /^[a-z][a-z0-9+.-]{0,30}:\/\//i;

const WEB_ADDRESS = /^https?:\/\//i;

/** Base64 in lines of 76, as many tools write it, is up to 2.7 % longer than in one; a data: URL has some words before it. */
const MAX_TEXT_CHARS = Math.ceil((MAX_IMAGE_BYTES * 4) / 3) * 1.05;

/** A picture inside of JSON, or its address. Its kind and size are checked with the model at hand, later. */
export function image(description: string) {
  return z
    .string()
    .transform((text, context) => {
      const read = readImage(text);
      if (read instanceof Picture || read instanceof PictureUrl) return read;
      context.addIssue({ code: 'custom', message: read.message, params: { limit: read.limit } });
      return z.NEVER;
    })
    .meta({
      contentEncoding: 'base64',
      description: `${description} PNG, JPEG or WebP, in base64 or as a \`data:\` URL; at most 20 MiB and 64 megapixels. With the setting \`inputs.urls_enabled\` also its http or https address.`,
    });
}

const FORM = { encoding: 'base64, or a data: URL with ;base64', max_bytes: MAX_IMAGE_BYTES };

function readImage(text: string): Picture | PictureUrl | { message: string; limit: unknown } {
  // Whether addresses are fetched at all is a setting, which is judged by with the rest of the request.
  if (WEB_ADDRESS.test(text)) return new PictureUrl(text);
  if (URL_SCHEME.test(text)) return { message: 'must be base64, or an http or https address', limit: FORM };
  if (text.length > MAX_TEXT_CHARS)
    return { message: `must have at most ${MAX_IMAGE_BYTES} bytes`, limit: { max_bytes: MAX_IMAGE_BYTES } };
  if (/^data:/i.test(text) && !DATA_URL.test(text)) return { message: 'must be a data: URL with ;base64', limit: FORM };
  const bytes = decodeBase64(text.replace(DATA_URL, ''));
  return bytes === null || bytes.length === 0 ? { message: 'must be base64', limit: FORM } : new Picture(bytes);
}

/** Node skips what is no base64; a picture with a hole in it must not pass for one. Null: it is none. */
function decodeBase64(text: string): Buffer | null {
  const digits = text.replaceAll(/[\r\n\t ]/g, '').replace(/={1,2}$/, '');
  const bytes = Buffer.from(digits, 'base64');
  return digits.length % 4 !== 1 && bytes.length === Math.floor((digits.length * 3) / 4) ? bytes : null;
}
