/** A strong entity tag; `content` is a hash and so needs no escaping. */
export function strongEtag(content: string): string {
  return `"${content}"`;
}

/** Whether a client holds this version already (`If-None-Match`, RFC 9110 section 13.1.2: compared weakly). */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
