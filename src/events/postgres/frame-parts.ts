import type { PreviewFrame } from '../../domain/job/job-event.js';
import type { FramePart } from './message.js';

/** Base64 characters of a part: with its other fields it fills a payload. A multiple of four, so that each part stands alone. */
const PART_LENGTH = 5400;

export function partsOf(frame: PreviewFrame, number: number): FramePart[] {
  const data = Buffer.from(frame.data).toString('base64');
  const parts = Math.max(1, Math.ceil(data.length / PART_LENGTH));
  return Array.from({ length: parts }, (_, part) => ({
    kind: 'frame',
    job: frame.jobId,
    frame: number,
    step: frame.step,
    mediaType: frame.mediaType,
    part,
    parts,
    data: data.slice(part * PART_LENGTH, (part + 1) * PART_LENGTH),
  }));
}

/** Puts frames together. Holds one unfinished frame a job at most: parts come in order, so a newer frame ends an older. */
export class FrameAssembly {
  private readonly unfinished = new Map<string, { sender: string; frame: number; data: string[] }>();

  /** The frame this part completes, else null. */
  add(sender: string, part: FramePart): PreviewFrame | null {
    if (part.part === 0) this.unfinished.set(part.job, { sender, frame: part.frame, data: [] });
    const found = this.unfinished.get(part.job);
    if (found === undefined) return null;
    if (found.sender !== sender || found.frame !== part.frame || found.data.length !== part.part) {
      this.unfinished.delete(part.job);
      return null;
    }
    found.data.push(part.data);
    if (found.data.length < part.parts) return null;
    this.unfinished.delete(part.job);
    const data = Buffer.concat(found.data.map((text) => Buffer.from(text, 'base64')));
    return { jobId: part.job, step: part.step, mediaType: part.mediaType, data };
  }

  forget(jobId: string): void {
    this.unfinished.delete(jobId);
  }
}
