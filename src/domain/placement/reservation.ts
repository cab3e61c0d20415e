/** What an attempt takes of a device. */
export interface Reservation {
  readonly model: string;
  /** Weights of the model: attempts of one model share them. */
  readonly weightsBytes: number;
  /** Peak over the weights, of one forward: the engine runs one at a time. */
  readonly peakBytes: number;
}
