// Step: python-worker/.venv with everything the worker, its tests and the checks need.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fingerprint } from './fingerprint.mjs';
import { findPython, hasUsableTorch, MINIMUM_PYTHON, probePython } from './find-python.mjs';
import { pythonWorker, root, state, venv, venvPython } from './paths.mjs';
import { followPip, readRequirements, requirementNames } from './pip.mjs';
import { runCommand } from './run-command.mjs';
import { dropStamp, readStamp, writeStamp } from './stamp.mjs';
import { StopError } from './stop-error.mjs';
import { isSameRelease } from './torch-choice.mjs';
import { installTorch } from './torch-install.mjs';
import { isWithin } from './versions.mjs';

const torchFile = join(pythonWorker, 'requirements-torch.txt');
const packageFiles = [join(pythonWorker, 'requirements.txt'), join(pythonWorker, 'requirements-dev.txt')];
const IMPORT_CHECK =
  'import torch, diffusers, transformers, accelerate, peft, safetensors, sentencepiece, numpy, PIL.Image, grpc, grpc_health.v1.health, grpc_tools.protoc';

const inputs = () => fingerprint(root, [torchFile, ...packageFiles]);

/** @type {import('./main.mjs').Step} */
export const pythonPackages = {
  name: 'python',
  label: 'Python packages',

  isUpToDate() {
    const stamp = readStamp(venv);
    if (stamp?.fingerprint !== inputs()) return false;
    if (isOtherPython(process.env['SAFELIGHT_PYTHON'], readMadeFrom())) return false;
    return isIntact(/** @type {string[]} */ (stamp['metadata'] ?? [])) && starts(venvPython);
  },

  async run(context) {
    dropStamp(venv);
    if (isOtherPython(process.env['SAFELIGHT_PYTHON'], readMadeFrom())) rmSync(venv, { recursive: true, force: true });
    await ensureEnvironment(context);
    try {
      await installPackages(context);
    } catch (error) {
      // Packages left half installed by something we did not see: once more from nothing.
      if (!(error instanceof BrokenEnvironment)) throw error;
      context.progress.say(`  ${error.message}: making the environment anew`);
      rmSync(venv, { recursive: true, force: true });
      await ensureEnvironment(context);
      await installPackages(context);
    }
    const names = ['torch', ...requirementNames(packageFiles)];
    const installed = installedPackages(names);
    writeStamp(venv, { fingerprint: inputs(), metadata: Object.values(installed).map((one) => one.metadata) });
    return `torch ${installed['torch']?.version ?? '?'}, Python ${probePython(venvPython)?.version ?? '?'}`;
  },
};

class BrokenEnvironment extends Error {}

// The Python that was asked for when the environment was made; empty when none was.
const madeFromFile = join(venv, '.safelight-made-from');
const readMadeFrom = () => (existsSync(madeFromFile) ? readFileSync(madeFromFile, 'utf8') : undefined);

/**
 * Only a Python that is asked for replaces an environment: a shell without the variable keeps what another one made.
 * @param {string | undefined} asked SAFELIGHT_PYTHON
 * @param {string | undefined} madeFrom
 */
export const isOtherPython = (asked, madeFrom) => asked !== undefined && asked !== '' && madeFrom !== asked;

/**
 * pip writes RECORD last, so a metadata folder without it is a package cut short.
 * @param {string[]} metadataFolders
 */
export const isIntact = (metadataFolders) =>
  metadataFolders.length > 0 && metadataFolders.every((folder) => existsSync(join(folder, 'RECORD')));

/** @param {string} python */
const starts = (python) => spawnSync(python, ['-I', '-S', '-c', ''], { stdio: 'ignore' }).status === 0;

/** @param {import('./main.mjs').StepContext} context */
async function ensureEnvironment({ progress, lock }) {
  if (starts(venvPython) && existsSync(join(venv, 'bin', 'pip'))) {
    const version = probePython(venvPython)?.version ?? '0';
    if (isWithin(version, MINIMUM_PYTHON)) return;
  }
  rmSync(venv, { recursive: true, force: true });
  const python = findPython();
  progress.update(`new environment from Python ${python.version}`);
  await runCommand(python.executable, ['-m', 'venv', venv], {
    logName: 'venv.log',
    failure: 'the Python environment could not be made',
    nextStep: `install the venv module of this Python (on Debian and Ubuntu: python${python.version.split('.').slice(0, 2).join('.')}-venv), or name another with SAFELIGHT_PYTHON=/path/to/python.`,
    lock,
  });
  if (python.torch && hasUsableTorch(python)) {
    progress.say(`  uses torch ${python.torch.version} of ${python.executable}`);
    shareTorch(python.torch.folder);
  } else if (python.torch) {
    progress.say(
      `  torch ${python.torch.version} of ${python.executable} is not one the worker runs on; its own is installed`,
    );
  }
  writeFileSync(madeFromFile, process.env['SAFELIGHT_PYTHON'] ?? '');
}

/**
 * Makes the packages beside that torch visible, behind our own. Unlike --system-site-packages this
 * also works when the Python it comes from is itself a virtual environment.
 * @param {string} folder
 */
function shareTorch(folder) {
  writeFileSync(join(sitePackages(), 'safelight-host-torch.pth'), `${folder}\n`);
}

const sitePackages = () => {
  const lib = join(venv, 'lib');
  const name = readdirSync(lib).find((entry) => entry.startsWith('python'));
  return join(lib, name ?? '', 'site-packages');
};

/** @param {import('./main.mjs').StepContext} context */
async function installPackages(context) {
  const { progress, lock } = context;
  for (const folder of halfInstalled(sitePackages())) rmSync(folder, { recursive: true, force: true });

  const pinned = readRequirements(readFileSync(torchFile, 'utf8'))[0]?.version ?? '';
  const torch = probePython(venvPython)?.torch;
  const isHosts = torch && !torch.folder.startsWith(venv);
  if (!torch || (!isHosts && !isSameRelease(torch.version, pinned))) await installTorch(pinned, context);

  // Whichever torch is there now stays: nothing below may swap it for another build.
  const constraint = join(state, 'torch-constraint.txt');
  writeFileSync(constraint, `torch==${probePython(venvPython)?.torch?.version ?? pinned}\n`);
  progress.update('resolving');
  const follow = followPip();
  await runCommand(
    venvPython,
    [
      '-m',
      'pip',
      'install',
      '--progress-bar=off',
      '--no-input',
      '-c',
      constraint,
      ...packageFiles.flatMap((file) => ['-r', file]),
    ],
    {
      logName: 'pip-packages.log',
      failure: 'the Python packages could not be installed',
      nextStep:
        'check the network and the disk space (some 1 GB), then run the same command again; what is already there is kept.',
      lock,
      onLine: (line) => {
        const now = follow(line);
        if (now) progress.update(now);
      },
    },
  );

  progress.update('checking that everything imports');
  try {
    await runCommand(venvPython, ['-c', IMPORT_CHECK], {
      logName: 'python-import-check.log',
      failure: 'the Python packages do not import',
      nextStep: `delete ${venv} and run the same command again.`,
      lock,
    });
  } catch (error) {
    if (!(error instanceof StopError) || context.isLastTry) throw error;
    context.isLastTry = true;
    throw new BrokenEnvironment(error.message);
  }
}

/**
 * Metadata folders of packages whose installation was cut short. pip takes such a package for
 * installed; without the folder it installs it again. A name starting with ~ is pip's own leftover.
 * @param {string} folder site-packages
 * @returns {string[]}
 */
export function halfInstalled(folder) {
  return readdirSync(folder)
    .filter(
      (name) =>
        (name.endsWith('.dist-info') &&
          !['INSTALLER', 'RECORD', 'METADATA'].every((file) => existsSync(join(folder, name, file)))) ||
        name.startsWith('~'),
    )
    .map((name) => join(folder, name));
}

/**
 * @param {string[]} names
 * @returns {Record<string, { version: string, metadata: string }>}
 */
function installedPackages(names) {
  const script = fileURLToPath(new URL('python/installed.py', import.meta.url));
  return JSON.parse(execFileSync(venvPython, [script, ...names], { encoding: 'utf8' }));
}
