import type { OnModuleDestroy } from '@nestjs/common';
import { Injectable } from '@nestjs/common';

import { JobEvents } from '../../jobs/ports/job-events.port.js';

/** Who polls asks every second or two; three missed polls mean that nobody looks any more. */
const INTEREST_MS = 5_000;

/** Counts whoever polls a job's preview as a watcher for a while: previews cost time and are made only while watched. */
@Injectable()
export class PreviewInterest implements OnModuleDestroy {
  private readonly watching = new Map<string, { timer: NodeJS.Timeout; stop: () => void }>();

  constructor(private readonly events: JobEvents) {}

  show(jobId: string): void {
    const known = this.watching.get(jobId);
    if (known !== undefined) {
      known.timer.refresh();
      return;
    }
    const stop = this.events.onPreview(jobId, () => undefined);
    const timer = setTimeout(() => this.forget(jobId), INTEREST_MS).unref();
    this.watching.set(jobId, { timer, stop });
  }

  onModuleDestroy(): void {
    for (const jobId of [...this.watching.keys()]) this.forget(jobId);
  }

  private forget(jobId: string): void {
    const known = this.watching.get(jobId);
    this.watching.delete(jobId);
    clearTimeout(known?.timer);
    known?.stop();
  }
}
