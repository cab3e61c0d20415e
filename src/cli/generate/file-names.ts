import { extname } from 'node:path';

/** `mp4` holds all frames of a video. */
export type PictureFormat = 'png' | 'webp' | 'jpeg' | 'mp4';

const LONGEST_SLUG = 48;

/** The prompt as part of a file name: plain letters and digits, whole words, not too long. */
export function slugOf(prompt: string): string {
  const words = prompt
    .normalize('NFKD')
    .replaceAll(/\p{Mark}/gu, '')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
  let slug = '';
  for (const word of words) {
    const longer = slug === '' ? word.slice(0, LONGEST_SLUG) : `${slug}-${word}`;
    if (longer.length > LONGEST_SLUG) break;
    slug = longer;
  }
  // A prompt in another script leaves nothing.
  return slug === '' ? 'picture' : slug;
}

/** File name without its extension of picture `index` out of `count`. */
export function stemOf(prompt: string, seed: string, index: number, count: number): string {
  return `${slugOf(prompt)}-${seed}${count > 1 ? `-${index}` : ''}`;
}

/** `stem.png`, `stem-2.png`, `stem-3.png` … */
export function numbered(stem: string, extension: string, number: number): string {
  return `${stem}${number > 1 ? `-${number}` : ''}${extension}`;
}

/** A name that was asked for, for picture `index` out of `count`. */
export function indexed(file: string, index: number, count: number): string {
  if (count === 1) return file;
  const extension = extname(file);
  return `${file.slice(0, file.length - extension.length)}-${index}${extension}`;
}

const EXTENSIONS: Readonly<Record<string, PictureFormat>> = {
  '.png': 'png',
  '.webp': 'webp',
  '.jpg': 'jpeg',
  '.jpeg': 'jpeg',
  '.mp4': 'mp4',
};

/** The format a file name promises; null when it has no extension, undefined when it promises something else. */
export function formatOfName(file: string): PictureFormat | null | undefined {
  const extension = extname(file).toLowerCase();
  return extension === '' ? null : EXTENSIONS[extension];
}

export function extensionOf(mediaType: string): string {
  const subtype = mediaType.slice(mediaType.indexOf('/') + 1);
  return subtype === 'jpeg' ? '.jpg' : `.${subtype}`;
}
