import { createHash } from 'node:crypto';

/** A picture as a client sent it: bytes nobody has looked at. */
export class Picture {
  /** Lower-case hex. */
  readonly sha256: string;

  constructor(readonly bytes: Uint8Array) {
    this.sha256 = createHash('sha256').update(bytes).digest('hex');
  }

  /** In the hash of a submission, and where a value is shown, the content's hash stands for the content. */
  toJSON(): { sha256: string; bytes: number } {
    return { sha256: this.sha256, bytes: this.bytes.length };
  }
}
