/** The time, so that tests can say what it is. */
export abstract class Clock {
  /** Epoch milliseconds. */
  abstract now(): number;
}
