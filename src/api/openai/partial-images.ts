import type { PreviewFrame } from '../../domain/job/job-event.js';

/**
 * Which previews become partial images: at most `wanted`, spread over the steps. The nth is the first frame after n of
 * `wanted + 1` equal parts of the steps. Frames come when the worker has time for them, so that there may be fewer.
 */
export class PartialImages {
  private told = 0;
  private held: PreviewFrame | null = null;

  constructor(private readonly wanted: number) {}

  /** The frame when it is to be told now; null: not now. `steps`: of the denoising it comes from. */
  offer(frame: PreviewFrame, steps: number): PreviewFrame | null {
    if (this.told >= this.wanted) return null;
    this.held = frame;
    return frame.step * (this.wanted + 1) >= (this.told + 1) * steps ? this.take() : null;
  }

  /** The picture is there: a frame that waited for its turn, if another may be told. */
  take(): PreviewFrame | null {
    const frame = this.held;
    this.held = null;
    if (frame !== null) this.told += 1;
    return frame;
  }
}
