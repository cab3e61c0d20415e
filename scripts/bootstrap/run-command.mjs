// Runs one command: output into a log file, each line offered to whoever shows progress.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { stripVTControlCharacters } from 'node:util';
import { root, state } from './paths.mjs';
import { StopError } from './stop-error.mjs';

const SHOWN_LINES = 25;

/**
 * @typedef {object} CommandOptions
 * @property {string} logName file name under .safelight/logs
 * @property {string} failure what it means when the command fails
 * @property {string | ((log: string) => string)} nextStep
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {(line: string) => void} [onLine]
 * @property {{ noteChild(pid: number | undefined): void }} [lock]
 */

/** @type {Set<number>} */
const groups = new Set();

/**
 * The commands run in process groups of their own, so Ctrl-C reaches them only through us.
 * @param {NodeJS.Signals} signal
 */
export function signalCommands(signal) {
  for (const pid of groups) {
    try {
      process.kill(-pid, signal);
    } catch {
      // Already gone.
    }
  }
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {CommandOptions} options
 * @returns {Promise<void>} rejects with a StopError
 */
export async function runCommand(
  command,
  args,
  { logName, failure, nextStep, cwd = root, env = process.env, onLine, lock },
) {
  const folder = join(state, 'logs');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, logName);
  const log = createWriteStream(path);
  log.write(`$ ${command} ${args.join(' ')}\n`);
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  if (child.pid) groups.add(child.pid);
  lock?.noteChild(child.pid);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    let rest = '';
    stream.on('data', (/** @type {string} */ text) => {
      log.write(text);
      const lines = (rest + text).split(/[\r\n]+/);
      rest = lines.pop() ?? '';
      for (const line of lines) onLine?.(line);
    });
  }
  /** @type {{ code: number | null, signal: NodeJS.Signals | null, error?: Error }} */
  const end = await new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, error }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  if (child.pid) groups.delete(child.pid);
  lock?.noteChild(undefined);
  log.end();
  await finished(log);
  if (end.code === 0) return;
  const output = readFileSync(path, 'utf8').trim();
  const reason = end.error ? end.error.message : end.signal ? `ended by ${end.signal}` : `exit code ${end.code}`;
  throw new StopError(`${failure} (${reason}).`, {
    details: lastLines(output),
    log: path,
    nextStep: typeof nextStep === 'string' ? nextStep : nextStep(output),
  });
}

/** @param {string} text */
const lastLines = (text) => stripVTControlCharacters(text).split('\n').slice(1).slice(-SHOWN_LINES).join('\n');
