/** Does one thing again and again, never twice at a time. What it does must not throw. */
export class Repeating {
  private timer: NodeJS.Timeout | undefined;
  private current: Promise<void> = Promise.resolve();
  private going = false;

  /** `act` resolves to the pause until it is done again, in milliseconds; null: no more. */
  constructor(private readonly act: () => Promise<number | null>) {}

  /** `firstInMs`: pause before the first time. */
  start(firstInMs: number): void {
    this.going = true;
    this.plan(firstInMs);
  }

  /** Waits for what is under way. Safe to call twice. */
  async stop(): Promise<void> {
    this.going = false;
    clearTimeout(this.timer);
    await this.current;
  }

  private plan(ms: number): void {
    this.timer = setTimeout(() => {
      this.current = this.act().then((pauseMs) => {
        if (this.going && pauseMs !== null) this.plan(pauseMs);
      });
    }, ms);
  }
}
