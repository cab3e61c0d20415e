import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

import { atExit } from '../../support/at-exit.js';

const MAIN = 'test/bench/serve/gates/live-probe-main.ts';
/** Twenty times as often as the most impatient orchestrators ask. */
const PROBE_EVERY_MS = 25;

/** Milliseconds. */
export interface ProbeResult {
  /** From sending to the whole answer, of every probe that was answered with 200. */
  readonly times: readonly number[];
  /** By how much the probe's own process was late to send. */
  readonly lateMs: readonly number[];
  readonly failed: number;
}

/** Asks `/health/live` from a process of its own until the signal. */
export async function probeLiveness(serverUrl: string, over: AbortSignal): Promise<ProbeResult> {
  const args = ['test/bench/run.mjs', MAIN, `${serverUrl}/health/live`, String(PROBE_EVERY_MS)];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const forget = atExit(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const written = text(child.stdout);
  const stop = () => child.stdin.end();
  if (over.aborted) stop();
  else over.addEventListener('abort', stop, { once: true });
  const [code] = (await ended) as [number | null];
  forget();
  if (code !== 0) throw new Error(`the liveness probe ended with ${code}`);
  return JSON.parse(await written) as ProbeResult;
}
