/** Has a bounded number of things go on at a time; who comes first is first. */
export class FetchTurns {
  private free: number;
  /** Each resolves one who waits, in the order of their coming. */
  private readonly waiting = new Set<() => void>();

  constructor(atATime: number) {
    this.free = atATime;
  }

  /** Waits for a turn. Returns how to end it, to be called once; null when `signal` was aborted before it came. */
  async take(signal: AbortSignal): Promise<(() => void) | null> {
    if (signal.aborted) return null;
    if (this.free > 0) this.free -= 1;
    else if (!(await this.called(signal))) return null;
    return () => {
      const [next] = this.waiting;
      // Handed on, the place stays taken.
      if (next === undefined) this.free += 1;
      else next();
    };
  }

  /** True when it is one's turn; false when one no longer waits. */
  private async called(signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const call = () => {
      this.waiting.delete(call);
      resolve(true);
    };
    const leave = () => {
      if (this.waiting.delete(call)) resolve(false);
    };
    this.waiting.add(call);
    signal.addEventListener('abort', leave);
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }
}
