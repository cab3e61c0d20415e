interface Going<T> {
  /** Resolves when the read has ended, however it did. */
  readonly done: Promise<void>;
  /** What those get who asked while it went on. */
  next: Promise<T> | null;
}

/**
 * Reads that many want at the same time, such as all who follow one job when it ends. Each gets what was read after it asked:
 * who asks while a read goes on shares the one that begins when it has ended. So there are two of them, however many ask.
 */
export class SharedReads<T> {
  private readonly going = new Map<string, Going<T>>();

  /** Two calls with the same key must want the same. */
  read(key: string, load: () => Promise<T>): Promise<T> {
    const going = this.going.get(key);
    if (going === undefined) return this.begin(key, load);
    return (going.next ??= going.done.then(() => this.begin(key, load)));
  }

  private begin(key: string, load: () => Promise<T>): Promise<T> {
    const result = load();
    const done = result.then(
      () => undefined,
      () => undefined,
    );
    const going: Going<T> = { done, next: null };
    this.going.set(key, going);
    void done.then(() => {
      // With a next one in line, that one has taken the place by now, or is about to.
      if (going.next === null) this.going.delete(key);
    });
    return result;
  }
}
