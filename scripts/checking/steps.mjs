// Everything CI looks at besides the tests: quick and telling ones first.
import { join } from 'node:path';
import { nodeBin, pythonWorker, root, venv } from '../bootstrap/paths.mjs';
import { checkBreaking } from './breaking.mjs';
import { runTool } from './run-tool.mjs';

/**
 * @typedef {object} CheckResult
 * @property {'passed' | 'failed' | 'skipped'} outcome
 * @property {string} output shown when it failed
 * @property {string} [reason] why it was skipped
 *
 * @typedef {{ title: string, run: () => Promise<CheckResult> }} CheckStep
 */

/**
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {string} [cwd]
 * @returns {CheckStep}
 */
const tool = (title, command, args, cwd = root) => ({
  title,
  run: async () => {
    const { code, output } = await runTool(command, args, { cwd });
    return { outcome: code === 0 ? 'passed' : 'failed', output };
  },
});

/**
 * @param {string} title
 * @param {string} name
 * @param {string[]} args
 */
const node = (title, name, ...args) => tool(title, join(nodeBin, name), args);

/**
 * @param {string} title
 * @param {string} name
 * @param {string[]} args
 */
const python = (title, name, ...args) => tool(title, join(venv, 'bin', name), args, pythonWorker);

/** @type {CheckStep[]} */
export const checkSteps = [
  tool('build', join(nodeBin, 'node'), ['scripts/bootstrap.mjs']),
  node('formatting', 'prettier', '--check', '.', '--log-level', 'warn'),
  node('lint', 'oxlint', '--deny-warnings'),
  node('types', 'tsc', '--noEmit'),
  node('layers', 'depcruise', 'src', 'scripts', '--output-type', 'err-long'),
  node('proto lint', 'buf', 'lint', 'proto'),
  { title: 'proto compatibility', run: checkBreaking },
  python('Python lint', 'ruff', 'check', '.'),
  python('Python formatting', 'ruff', 'format', '--check', '.'),
  python('Python types', 'mypy'),
  python('Python layers', 'lint-imports'),
  tool('generated reference pages', join(nodeBin, 'node'), ['dist/main.js', 'docs', '--check']),
];
