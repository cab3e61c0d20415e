import { EXIT } from './exit-code.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Turns the first Ctrl-C (or SIGTERM) into an abort, and the second into an end at once. */
export class Interruption implements Disposable {
  private readonly controller = new AbortController();
  private readonly onSignal = (signal: NodeJS.Signals) => {
    if (this.controller.signal.aborted) this.exit(EXIT.interrupted);
    else this.controller.abort(signal);
  };

  constructor(private readonly exit: (code: number) => void = (code) => process.exit(code)) {
    for (const signal of SIGNALS) process.on(signal, this.onSignal);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.onSignal);
  }
}
