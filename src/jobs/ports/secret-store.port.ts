/** Secrets that the server made for itself and all nodes share. */
export abstract class SecretStore {
  /** The secret of this name. The first to ask decides what it is; everybody gets that. */
  abstract obtain(name: string, fresh: string): Promise<string>;
}
