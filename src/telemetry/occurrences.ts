import { Injectable } from '@nestjs/common';

/** What happens beside the events of jobs and is worth counting. */
export type Occurrence =
  | { readonly type: 'checkpoint'; readonly outcome: 'kept' | 'lost'; readonly bytes: number }
  /** One try to deliver a message. `ms`: how long the receiver took. */
  | { readonly type: 'webhook'; readonly outcome: 'delivered' | 'failed' | 'given_up'; readonly ms: number };

/** Told by whoever sees it, heard by whoever counts; the two do not know each other. */
@Injectable()
export class Occurrences {
  private readonly listeners = new Set<(occurrence: Occurrence) => void>();

  note(occurrence: Occurrence): void {
    for (const listener of this.listeners) listener(occurrence);
  }

  /** Returns how to stop. The listener must not throw. */
  on(listener: (occurrence: Occurrence) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
