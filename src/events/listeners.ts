/** Listeners of one kind; each leaves by the function it got. */
export class Listeners<A extends readonly unknown[]> {
  private readonly all = new Set<(...values: A) => void>();

  get size(): number {
    return this.all.size;
  }

  add(listener: (...values: A) => void): () => void {
    // An entry of its own for each call, so that the same function given twice leaves once at a time.
    const entry = (...values: A) => listener(...values);
    this.all.add(entry);
    return () => void this.all.delete(entry);
  }

  tell(...values: A): void {
    for (const listener of this.all) listener(...values);
  }
}

/** Listeners by job; a job without listeners takes no room. */
export class JobListeners<A extends readonly unknown[]> {
  private readonly byJob = new Map<string, Listeners<A>>();

  add(jobId: string, listener: (...values: A) => void): () => void {
    const listeners = this.byJob.get(jobId) ?? new Listeners<A>();
    this.byJob.set(jobId, listeners);
    const leave = listeners.add(listener);
    return () => {
      leave();
      if (listeners.size === 0 && this.byJob.get(jobId) === listeners) this.byJob.delete(jobId);
    };
  }

  tell(jobId: string, ...values: A): void {
    this.byJob.get(jobId)?.tell(...values);
  }

  has(jobId: string): boolean {
    return this.byJob.has(jobId);
  }
}
