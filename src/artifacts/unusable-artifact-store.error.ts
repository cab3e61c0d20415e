/** The store of the settings does not work, found out at start. The message ends with what to do next. */
export class UnusableArtifactStoreError extends Error {
  constructor(
    readonly reason: string,
    readonly nextStep: string,
  ) {
    super(`Pictures cannot be kept: ${reason}. Next step: ${nextStep}`);
    this.name = 'UnusableArtifactStoreError';
  }
}
