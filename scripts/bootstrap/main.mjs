// The steps in order. Each knows whether it is up to date; what is not is done, under one lock.
import { join } from 'node:path';
import { build } from './build.mjs';
import { pythonStubs, typescriptStubs } from './generated-code.mjs';
import { takeLock } from './lock.mjs';
import { nodePackages } from './node-packages.mjs';
import { state } from './paths.mjs';
import { formatDuration, Progress } from './progress.mjs';
import { pythonPackages } from './python-packages.mjs';
import { signalCommands } from './run-command.mjs';
import { StopError } from './stop-error.mjs';

/**
 * @typedef {object} StepContext
 * @property {Progress} progress
 * @property {Awaited<ReturnType<typeof takeLock>>} lock
 * @property {boolean} [isLastTry] set once the Python environment has been made anew
 *
 * @typedef {object} Step
 * @property {string} name as in --without=name
 * @property {string} label as on the terminal
 * @property {() => boolean} isUpToDate cheap: it runs at every start
 * @property {(context: StepContext) => Promise<string | undefined>} run returns what to add to its line
 */

/** @type {Step[]} */
const steps = [nodePackages, pythonPackages, typescriptStubs, pythonStubs, build];

/**
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function main(args) {
  const startedAt = Date.now();
  const verbose = args.includes('--verbose');
  const without = args.flatMap((arg) =>
    arg.startsWith('--without=') ? arg.slice('--without='.length).split(',') : [],
  );
  const wanted = steps.filter((step) => !without.includes(step.name));
  try {
    if (wanted.every((step) => step.isUpToDate())) {
      if (verbose) console.error(`Everything is up to date (${Date.now() - startedAt} ms).`);
      return 0;
    }
    await bringUpToDate(wanted);
    return 0;
  } catch (error) {
    console.error(error instanceof StopError ? error.toText() : error);
    return 1;
  }
}

/** @param {Step[]} wanted */
async function bringUpToDate(wanted) {
  const startedAt = Date.now();
  const lock = await takeLock(join(state, 'bootstrap.lock'), {
    onWait: ({ pid }) => console.error(`Another set-up is running (process ${pid}); waiting for it.`),
  });
  const stop = endOnSignal(() => lock.release());
  let done = 0;
  try {
    for (const step of wanted) {
      if (step.isUpToDate()) continue;
      const progress = new Progress(step.label);
      try {
        progress.done(await step.run({ progress, lock }));
        done += 1;
      } catch (error) {
        progress.failed();
        throw error;
      }
    }
  } finally {
    lock.release();
    stop();
  }
  if (done > 1) console.error(`Ready after ${formatDuration(Date.now() - startedAt)}.`);
}

/**
 * Ctrl-C and a polite kill end the running command too.
 * @param {() => void} before
 */
function endOnSignal(before) {
  /** @param {NodeJS.Signals} signal */
  const onSignal = (signal) => {
    signalCommands('SIGTERM');
    before();
    console.error('\nInterrupted; the next run takes up from here.');
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal);
  return () => process.off('SIGINT', onSignal).off('SIGTERM', onSignal).off('SIGHUP', onSignal);
}
