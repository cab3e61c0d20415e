import { createHash } from 'node:crypto';

/** A picture as a client sent it: bytes nobody has looked at. */
export class Picture {
  /** Lower-case hex. */
  readonly sha256: string;

  constructor(readonly bytes: Uint8Array) {
    this.sha256 = sha256Of(bytes);
  }

  /** In the hash of a submission, and where a value is shown, the content's hash stands for the content. */
  toJSON(): { sha256: string; bytes: number } {
    return { sha256: this.sha256, bytes: this.bytes.length };
  }
}

/** Enough to know it again. */
const SHOWN_CHARS = 80;

/** A picture that a client named by its address and nobody has fetched. */
export class PictureUrl {
  constructor(readonly url: string) {}

  /** The address without what may be a secret in it: credentials, query, fragment. Bounded. */
  get shown(): string {
    const parsed = URL.parse(this.url);
    // One that cannot be parsed may hold a secret anywhere behind its scheme.
    if (parsed === null) return `${/^[a-z0-9+.-]{0,30}/i.exec(this.url)?.[0] ?? ''}:…`;
    const credentials = parsed.username === '' && parsed.password === '' ? '' : '…@';
    const path = `${parsed.protocol}//${credentials}${parsed.host}${parsed.pathname}`;
    return (path.length > SHOWN_CHARS ? `${path.slice(0, SHOWN_CHARS)}…` : path) + (parsed.search === '' ? '' : '?…');
  }

  /**
   * In the hash of a submission the whole address stands for the picture, not what was found there: a repeated request is
   * known again without fetching anything, and gets its job also when the picture has changed or is gone. Two addresses
   * that differ in their query alone are two pictures.
   */
  toJSON(): { url: string; url_sha256: string } {
    return { url: this.shown, url_sha256: sha256Of(this.url) };
  }
}

function sha256Of(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
