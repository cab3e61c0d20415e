import type { Logger } from 'pino';

/** Who wants to hear of something. One that throws is a defect of its own: neither who tells nor who hears next bears it. */
export class Listeners<Told extends readonly unknown[]> {
  private readonly listeners = new Set<(...told: Told) => void>();

  /** @param what names in the log what is told */
  constructor(
    private readonly what: string,
    private readonly log: Logger,
  ) {}

  /** Returns how to stop. */
  add(listener: (...told: Told) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell(...told: Told): void {
    for (const listener of this.listeners) {
      try {
        listener(...told);
      } catch (error) {
        this.log.error({ err: error, what: this.what }, 'a listener threw');
      }
    }
  }
}
