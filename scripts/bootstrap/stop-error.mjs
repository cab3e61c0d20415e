// An error made for the person at the terminal: what is wrong, and what to do next.

export class StopError extends Error {
  /**
   * @param {string} message what is wrong
   * @param {{ nextStep: string, details?: string, log?: string }} help
   */
  constructor(message, { nextStep, details, log }) {
    super(message);
    this.name = 'StopError';
    this.nextStep = nextStep;
    this.details = details;
    this.log = log;
  }

  toText() {
    const lines = [`\nSafelight could not set itself up: ${this.message}`];
    if (this.details) lines.push('', ...this.details.split('\n').map((line) => `  ${line}`), '');
    if (this.log) lines.push(`Full log: ${this.log}`);
    lines.push(`Next step: ${this.nextStep}`);
    return lines.join('\n');
  }
}
