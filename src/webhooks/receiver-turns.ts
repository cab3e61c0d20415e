/** Messages a receiver is sent at a time: enough for one that answers, and one that does not takes no more than these. */
const AT_A_TIME = 8;

/** Messages that wait for their turn with a receiver at most. */
const MOST_WAITING = 56;

/** Longest wait for a turn, in milliseconds. */
export const LONGEST_WAIT_MS = 10_000;

interface Queue {
  busy: number;
  /** Each resolves one who waits, in the order of their coming. */
  readonly waiting: Set<() => void>;
}

/** Has messages to the same receiver go a few at a time, so that one who does not answer holds up nobody else's. */
export class ReceiverTurns {
  private readonly queues = new Map<string, Queue>();

  /**
   * Waits for a turn with the host of an address. Returns how to end it; null when none came in time, too many wait already,
   * or `signal` was aborted.
   */
  async take(url: string, signal: AbortSignal): Promise<(() => void) | null> {
    const host = URL.parse(url)?.host ?? url;
    const queue = this.queues.get(host) ?? { busy: 0, waiting: new Set() };
    this.queues.set(host, queue);
    if (queue.busy < AT_A_TIME) queue.busy += 1;
    else if (queue.waiting.size >= MOST_WAITING || !(await inTurn(queue, signal))) return null;
    return () => this.end(host, queue);
  }

  private end(host: string, queue: Queue): void {
    const [next] = queue.waiting;
    // Handed on, the place stays taken.
    if (next !== undefined) return next();
    queue.busy -= 1;
    if (queue.busy === 0) this.queues.delete(host);
  }
}

/** True when it is one's turn; false when one no longer waits. */
async function inTurn({ waiting }: Queue, signal: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const called = () => {
    waiting.delete(called);
    resolve(true);
  };
  const leave = () => {
    if (waiting.delete(called)) resolve(false);
  };
  waiting.add(called);
  const limit = setTimeout(leave, LONGEST_WAIT_MS);
  signal.addEventListener('abort', leave);
  // The signal may have been aborted before anybody listened.
  if (signal.aborted) leave();
  const isCalled = await promise;
  clearTimeout(limit);
  signal.removeEventListener('abort', leave);
  return isCalled;
}
