// Which Python is the environment of the worker made from?
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StopError } from './stop-error.mjs';
import { isWithin } from './versions.mjs';

export const MINIMUM_PYTHON = '3.10';
// The packages are tried on 3.10 to 3.12; a newer one is taken only when nothing else is there.
const NEWEST_TRIED = '3.13';
/** The worker keeps to what these torch versions have in common. */
export const SUPPORTED_TORCH = { from: '2.11', below: '2.14' };

/**
 * @typedef {object} PythonFacts what python/probe.py prints
 * @property {string} version
 * @property {string} executable
 * @property {string} prefix
 * @property {{ version: string, folder: string } | null} torch
 * @property {boolean} venv whether `python -m venv` can work
 */

/**
 * Commands worth asking, best first.
 * @param {NodeJS.ProcessEnv} env
 * @returns {string[]}
 */
export function pythonCandidates(env) {
  if (env['SAFELIGHT_PYTHON']) return [env['SAFELIGHT_PYTHON']];
  const active = [env['VIRTUAL_ENV'], env['CONDA_PREFIX']].filter((folder) => folder !== undefined && folder !== '');
  return [
    ...active.map((folder) => join(String(folder), 'bin', 'python')),
    'python3',
    'python3.12',
    'python3.11',
    'python3.10',
    'python3.13',
    'python',
  ];
}

/** @param {PythonFacts} facts */
export const hasUsableTorch = (facts) =>
  facts.torch !== null && isWithin(facts.torch.version, SUPPORTED_TORCH.from, SUPPORTED_TORCH.below);

/**
 * The first with a torch we can build on; else the first of a version that was tried; else any new enough.
 * @param {PythonFacts[]} found in order of preference
 * @returns {PythonFacts | undefined}
 */
export function choosePython(found) {
  const usable = found.filter((facts) => facts.venv && isWithin(facts.version, MINIMUM_PYTHON));
  return (
    usable.find(hasUsableTorch) ??
    usable.find((facts) => isWithin(facts.version, MINIMUM_PYTHON, NEWEST_TRIED)) ??
    usable[0]
  );
}

/**
 * @param {string} command
 * @returns {PythonFacts | undefined} undefined when it is not there or does not start
 */
export function probePython(command) {
  const script = fileURLToPath(new URL('python/probe.py', import.meta.url));
  try {
    return JSON.parse(
      execFileSync(command, [script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 30_000 }),
    );
  } catch {
    return undefined;
  }
}

/** @param {NodeJS.ProcessEnv} [env] */
export function findPython(env = process.env) {
  /** @type {PythonFacts[]} */
  const found = [];
  for (const command of pythonCandidates(env)) {
    const facts = probePython(command);
    if (!facts || found.some((other) => other.executable === facts.executable)) continue;
    found.push(facts);
    if (choosePython(found) === facts && hasUsableTorch(facts)) break;
  }
  const chosen = choosePython(found);
  if (chosen) return chosen;
  throw explain(found, env['SAFELIGHT_PYTHON']);
}

/**
 * @param {PythonFacts[]} found
 * @param {string | undefined} asked
 */
function explain(found, asked) {
  const incomplete = found.find((facts) => isWithin(facts.version, MINIMUM_PYTHON));
  if (incomplete) {
    const minor = incomplete.version.split('.').slice(0, 2).join('.');
    return new StopError(`Python ${incomplete.version} (${incomplete.executable}) comes without the venv module.`, {
      nextStep: `install it (on Debian and Ubuntu: the package python${minor}-venv), then run the same command again.`,
    });
  }
  if (asked) {
    const [facts] = found;
    return new StopError(
      facts
        ? `SAFELIGHT_PYTHON is Python ${facts.version}; ${MINIMUM_PYTHON} or newer is needed.`
        : `SAFELIGHT_PYTHON (${asked}) does not start.`,
      {
        nextStep: `point SAFELIGHT_PYTHON at a Python ${MINIMUM_PYTHON} or newer, or unset it.`,
      },
    );
  }
  const seen = found.map((facts) => `Python ${facts.version} (${facts.executable})`).join(', ');
  return new StopError(`no Python ${MINIMUM_PYTHON} or newer was found${seen && ` (found: ${seen})`}.`, {
    nextStep: `install Python 3.11 or 3.12, or name one with SAFELIGHT_PYTHON=/path/to/python, then run the same command again.`,
  });
}
