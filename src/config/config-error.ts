/** Something in the configuration that cannot stand, told so that it can be mended without looking anything up. */
export interface ConfigProblem {
  /** `safelight.yaml:4:9`, `SAFELIGHT_HTTP_PORT` or `--port`. */
  readonly where: string;
  /** Name of the setting as in the file, such as `http.port`; null when it is none. */
  readonly setting: string | null;
  readonly message: string;
  /** What may stand there. */
  readonly allowed: string | null;
  readonly nextStep: string;
}

/** Thrown once at start with everything that is wrong, so that one round of mending is enough. */
export class ConfigError extends Error {
  readonly kind = 'invalid_configuration';

  constructor(readonly problems: readonly ConfigProblem[]) {
    super(render(problems));
    this.name = 'ConfigError';
  }
}

function render(problems: readonly ConfigProblem[]): string {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  return [`The configuration has ${count}.`, ...problems.map(renderProblem)].join('\n\n');
}

function renderProblem({ where, message, allowed, nextStep }: ConfigProblem): string {
  const lines = [`  ${where}: ${message}`];
  if (allowed !== null) lines.push(`    allowed: ${allowed}`);
  lines.push(`    next:    ${nextStep}`);
  return lines.join('\n');
}

const LONGEST_SHOWN = 60;

/** A value as a person wrote it, short enough for one line. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

/** What stands for the value of a secret wherever one would be shown. */
export const HIDDEN = '(not shown)';
