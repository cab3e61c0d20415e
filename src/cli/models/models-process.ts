import { execa } from 'execa';

import type { Settings } from '../../config/settings.js';
import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';
import { DEFAULT_PYTHON, WORKER_DIR } from '../package-root.js';
import type { ModelEvent } from './model-event.js';

export interface ModelsCall {
  readonly args: readonly string[];
  /** What the process reads, as JSON; null: nothing. */
  readonly input: unknown;
  readonly signal: AbortSignal;
}

/** Said by an event; its exit code says no more. */
const TOLD = [0, 1];
const FORCE_KILL_AFTER_MS = 5000;

/**
 * Runs the worker's command over models and hands on its events as they come. When the signal aborts, the process is ended
 * and the events end.
 */
export async function* modelEvents(settings: Settings, call: ModelsCall): AsyncGenerator<ModelEvent> {
  const python = settings.workers.python ?? DEFAULT_PYTHON;
  const child = execa(python, ['-m', 'safelight_worker.models', ...call.args], {
    cwd: WORKER_DIR,
    // An empty variable counts as not set, as for our own settings: the hub's client takes HF_HUB_CACHE= for this folder.
    env: Object.fromEntries(Object.entries(process.env).filter(([, text]) => text !== '')),
    extendEnv: false,
    input: JSON.stringify(call.input),
    reject: false,
    // Lines are read as they come; of what the libraries say only the end matters, when it fails.
    buffer: { stdout: false, stderr: true },
    maxBuffer: { stderr: 1_000_000 },
    cancelSignal: call.signal,
    forceKillAfterDelay: FORCE_KILL_AFTER_MS,
  });
  let count = 0;
  try {
    for await (const line of child.iterable({ from: 'stdout' })) {
      count += 1;
      yield JSON.parse(line) as ModelEvent;
    }
  } finally {
    // Whoever stops listening ends it.
    child.kill();
  }
  const result = await child;
  if (call.signal.aborted) return;
  const isTold =
    result.exitCode !== undefined && TOLD.includes(result.exitCode) && (count > 0 || result.exitCode === 0);
  if (isTold) return;
  const reason = result.exitCode === undefined ? result.shortMessage : lastLine(result.stderr);
  throw new CliError({
    kind: 'cannot_start',
    message: `${python} cannot look after models: ${reason}`,
    nextStep: 'run `safelight doctor`, which looks at the interpreter and its packages.',
    exitCode: EXIT.failed,
  });
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
