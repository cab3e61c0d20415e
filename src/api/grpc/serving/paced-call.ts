import { ServerInterceptingCall } from '@grpc/grpc-js';

/**
 * A call whose requests are read no faster than its answers are taken: a client that asks and never reads would have the
 * answers pile up here.
 */
export class PacedCall extends ServerInterceptingCall {
  private unsent = 0;
  private isReadWanted = false;

  override sendMessage(message: unknown, callback: () => void): void {
    this.unsent++;
    super.sendMessage(message, () => {
      this.unsent--;
      callback();
      if (!this.isReadWanted || this.unsent > 0) return;
      this.isReadWanted = false;
      super.startRead();
    });
  }

  override startRead(): void {
    if (this.unsent === 0) super.startRead();
    else this.isReadWanted = true;
  }
}
