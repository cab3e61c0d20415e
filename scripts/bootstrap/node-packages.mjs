// Step: node_modules as package-lock.json says.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fingerprint } from './fingerprint.mjs';
import { nodeModules, root } from './paths.mjs';
import { runCommand } from './run-command.mjs';
import { dropStamp, readStamp, writeStamp } from './stamp.mjs';
import { StopError } from './stop-error.mjs';
import { isWithin } from './versions.mjs';

// npm 10 comes with Node 20 and is the oldest that was tried.
const MINIMUM_NPM = '10';
const NODE_BINARY = 'node/bin/node';

const inputs = () => fingerprint(root, [join(root, 'package-lock.json')], [process.platform, process.arch]);

/**
 * Is every package that package.json names still there? A few dozen stats: it catches a folder that
 * was half deleted, not a file somebody edited.
 * @param {string} folder node_modules
 * @param {{ dependencies?: Record<string, string>, devDependencies?: Record<string, string> }} manifest
 */
export function missingPackages(folder, manifest) {
  const names = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  return names.filter((name) => !existsSync(join(folder, name, 'package.json')));
}

/** @type {import('./main.mjs').Step} */
export const nodePackages = {
  name: 'node',
  label: 'Node packages',

  isUpToDate() {
    if (readStamp(nodeModules)?.fingerprint !== inputs()) return false;
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return existsSync(join(nodeModules, NODE_BINARY)) && missingPackages(nodeModules, manifest).length === 0;
  },

  async run({ progress, lock }) {
    const env = installEnvironment(process.env);
    checkNpm(env);
    dropStamp(nodeModules);
    progress.update('about 700 packages, 660 MB on disk');
    await runCommand(
      'npm',
      ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=warn', '--foreground-scripts'],
      {
        logName: 'npm-ci.log',
        failure: '`npm ci` failed',
        nextStep: adviceFor,
        env,
        lock,
      },
    );
    try {
      execFileSync(join(nodeModules, NODE_BINARY), ['--version'], { stdio: 'pipe' });
    } catch (error) {
      throw new StopError('the Node.js of this project (package "node") does not start.', {
        details: String(error),
        nextStep:
          'check that npm runs install scripts (`npm config get ignore-scripts` must be false), then run the same command again.',
      });
    }
    writeStamp(nodeModules, { fingerprint: inputs() });
    return undefined;
  },
};

/**
 * npm must not run on a Node that lives in the folder it is about to replace, nor leave out
 * development packages because the shell says production.
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 */
export function installEnvironment(env) {
  const path = (env['PATH'] ?? '').split(delimiter).filter((entry) => !entry.endsWith(join('node_modules', '.bin')));
  return { ...env, PATH: path.join(delimiter), NODE_ENV: 'development' };
}

/** @param {NodeJS.ProcessEnv} env */
function checkNpm(env) {
  let version;
  try {
    version = execFileSync('npm', ['--version'], {
      env,
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    throw new StopError('npm was not found.', {
      nextStep: 'install npm (it comes with Node.js) so that `npm --version` works, then run the same command again.',
    });
  }
  if (!isWithin(version, MINIMUM_NPM)) {
    throw new StopError(`npm ${version} is too old; ${MINIMUM_NPM} or newer is needed.`, {
      nextStep: '`npm install --global npm@latest`, then run the same command again.',
    });
  }
}

/** @param {string} log */
function adviceFor(log) {
  if (/ENOSPC/.test(log)) return 'free some 3 GB of disk space and run the same command again.';
  if (/EACCES|EPERM/.test(log))
    return 'make this folder writable for you (it may hold files of another user) and run the same command again.';
  if (/ENOTFOUND|ETIMEDOUT|ECONNRE|EAI_AGAIN|network/i.test(log))
    return 'check the network (and proxy) and run the same command again; it starts over cleanly.';
  if (/can only install packages when your package.json and package-lock.json/.test(log))
    return '`npm install` to bring package-lock.json in line with package.json, then run the same command again.';
  return 'read the log, then run the same command again; it starts over cleanly.';
}
