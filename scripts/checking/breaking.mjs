// Does proto/ still understand what main understands?
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeBin, root } from '../bootstrap/paths.mjs';
import { runTool } from './run-tool.mjs';

/** @returns {Promise<import('./steps.mjs').CheckResult>} */
export async function checkBreaking() {
  const commit = earlierProto();
  if (commit === undefined)
    return { outcome: 'skipped', output: '', reason: 'no earlier commit with proto/ to compare with' };
  const folder = mkdtempSync(join(tmpdir(), 'safelight-proto-'));
  try {
    // By way of an archive, not buf's own git input: that one wants .git to be a folder and fails in a worktree.
    execFileSync('git', ['archive', '--format=tar', '-o', join(folder, 'proto.tar'), commit, 'proto'], { cwd: root });
    execFileSync('tar', ['-xf', join(folder, 'proto.tar'), '-C', folder]);
    const { code, output } = await runTool(join(nodeBin, 'buf'), [
      'breaking',
      'proto',
      '--against',
      join(folder, 'proto'),
    ]);
    return { outcome: code === 0 ? 'passed' : 'failed', output };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function earlierProto() {
  for (const branch of ['main', 'origin/main']) {
    try {
      execFileSync('git', ['cat-file', '-e', `${branch}:proto/buf.yaml`], { cwd: root, stdio: 'ignore' });
      return branch;
    } catch {
      // No git, no such branch, or no proto there yet.
    }
  }
  return undefined;
}
