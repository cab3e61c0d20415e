// Step part: brings torch into the worker's environment, by the decision of torch-choice.mjs.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { venvPython } from './paths.mjs';
import { followPip } from './pip.mjs';
import { formatSize } from './progress.mjs';
import { runCommand } from './run-command.mjs';
import { StopError } from './stop-error.mjs';
import { chooseTorch, CPU_INDEX, readPipReport } from './torch-choice.mjs';

// An index without separate metadata makes pip fetch the whole wheel just to look; then we stop looking.
const LOOK_TIMEOUT_MS = 60_000;

/**
 * @param {string} version
 * @param {import('./main.mjs').StepContext} context
 */
export async function installTorch(version, { progress, lock }) {
  progress.update('looking which build of torch is offered');
  const indexUrl = process.env['SAFELIGHT_TORCH_INDEX_URL'] || undefined;
  const situation = {
    hasNvidia: hasNvidiaDriver(),
    indexUrl,
    standard: indexUrl ? undefined : look(version),
    cpuIndexAnswers: /** @type {boolean | undefined} */ (undefined),
    consent:
      process.env['SAFELIGHT_ALLOW_LARGE_DOWNLOAD'] === '1' ? true : /** @type {boolean | undefined} */ (undefined),
  };
  for (;;) {
    const decision = chooseTorch(situation);
    switch (decision.kind) {
      case 'ask-cpu-index':
        // Sources that pip is configured with in addition may answer in its place, with a CUDA build.
        situation.cpuIndexAnswers = look(version, CPU_INDEX)?.cudaPackages.length === 0;
        continue;
      case 'ask-consent':
        situation.consent = await askForConsent(decision.bytes, progress);
        continue;
      case 'refuse':
        throw new StopError(
          `only the CUDA build of torch ${version} is offered (${sizeText(decision.bytes)}), and no NVIDIA driver was found that could use it.`,
          {
            nextStep:
              'either name an index with CPU builds: SAFELIGHT_TORCH_INDEX_URL=<address>; or use a Python that has torch: SAFELIGHT_PYTHON=/path/to/python; ' +
              'or accept the large download: SAFELIGHT_ALLOW_LARGE_DOWNLOAD=1. Then run the same command again.',
          },
        );
      case 'nothing-offered':
        throw new StopError(`no torch ${version} is offered for this Python and platform.`, {
          nextStep:
            'check the network and the settings of pip, or name a Python that has torch with SAFELIGHT_PYTHON=/path/to/python, then run the same command again.',
        });
      case 'install': {
        progress.say(
          `  torch ${version}: ${decision.what}${situation.standard?.bytes && !decision.indexUrl ? `, ${formatSize(situation.standard.bytes)}` : ''}`,
        );
        const follow = followPip();
        await runCommand(
          venvPython,
          [
            '-m',
            'pip',
            'install',
            '--progress-bar=off',
            '--no-input',
            `torch==${version}`,
            ...(decision.indexUrl ? ['--index-url', decision.indexUrl] : []),
          ],
          {
            logName: 'pip-torch.log',
            failure: 'torch could not be installed',
            nextStep:
              'check the network and the disk space (CPU build: 1 GB, CUDA build: 8 GB), then run the same command again.',
            lock,
            onLine: (line) => {
              const now = follow(line);
              if (now) progress.update(now);
            },
          },
        );
        return;
      }
    }
  }
}

/** A driver, not merely a card: without one CUDA builds run on the CPU like the others. */
export const hasNvidiaDriver = () =>
  existsSync('/proc/driver/nvidia/version') ||
  spawnSync('nvidia-smi', ['-L'], { stdio: 'ignore', timeout: 10_000 }).status === 0;

/**
 * What would pip install? Resolves without installing.
 * @param {string} version
 * @param {string} [indexUrl]
 * @returns {import('./torch-choice.mjs').Offer | undefined} undefined when nothing is offered
 */
function look(version, indexUrl) {
  const args = [
    '-m',
    'pip',
    'install',
    '--dry-run',
    '--ignore-installed',
    '--quiet',
    '--no-input',
    '--report',
    '-',
    `torch==${version}`,
  ];
  if (indexUrl) args.push('--index-url', indexUrl, '--retries', '1', '--timeout', '10');
  const result = spawnSync(venvPython, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: LOOK_TIMEOUT_MS,
    maxBuffer: 64 << 20,
  });
  if (result.error && /** @type {NodeJS.ErrnoException} */ (result.error).code === 'ETIMEDOUT') {
    // Something large is being fetched: offered, but take it for the CUDA build.
    return indexUrl ? undefined : { cudaPackages: ['unknown'], bytes: undefined };
  }
  if (result.status !== 0) return undefined;
  const { cudaPackages, addresses } = readPipReport(JSON.parse(result.stdout));
  return { cudaPackages, bytes: sumOfSizes(addresses) };
}

/** @param {string[]} addresses */
function sumOfSizes(addresses) {
  const script = fileURLToPath(new URL('python/download_sizes.py', import.meta.url));
  try {
    /** @type {(number | null)[]} */
    const sizes = JSON.parse(
      execFileSync(venvPython, [script], { input: JSON.stringify(addresses), encoding: 'utf8', timeout: 60_000 }),
    );
    const known = sizes.filter((size) => size !== null);
    return known.length === 0 ? undefined : known.reduce((sum, size) => sum + size, 0);
  } catch {
    return undefined;
  }
}

/** @param {number | undefined} bytes */
const sizeText = (bytes) => (bytes === undefined ? 'several GB' : `${(bytes / 1e9).toFixed(1)} GB`);

/**
 * @param {number | undefined} bytes
 * @param {import('./progress.mjs').Progress} progress
 */
async function askForConsent(bytes, progress) {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false;
  progress.pause();
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(
    `  Only the CUDA build of torch is offered here: a download of ${sizeText(bytes)}. Go on? [y/N] `,
  );
  terminal.close();
  progress.resume();
  return /^y(es)?$/i.test(answer.trim());
}
