// Runs a tool and keeps its output, or lets it write to the terminal itself.
import { spawn } from 'node:child_process';
import { root, toolPath } from '../bootstrap/paths.mjs';

/**
 * @typedef {{ code: number | null, output: string, milliseconds: number }} ToolResult code is null when it was ended or did not start
 */

/**
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, live?: boolean, limitMs?: number, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<ToolResult>}
 */
export async function runTool(command, args, { cwd = root, live = false, limitMs = 5 * 60_000, env = {} } = {}) {
  const startedAt = Date.now();
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, PATH: toolPath(), ...env },
    stdio: live ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      output += text;
    });
  }
  const limit = setTimeout(() => {
    output += `\n${command} was ended after ${limitMs / 60_000} minutes.\n`;
    child.kill('SIGKILL');
  }, limitMs);
  /** @type {number | null} */
  const code = await new Promise((resolve) => {
    child.once('error', (error) => {
      output += `${error.message}\n`;
      resolve(null);
    });
    child.once('close', resolve);
  });
  clearTimeout(limit);
  return { code, output, milliseconds: Date.now() - startedAt };
}
