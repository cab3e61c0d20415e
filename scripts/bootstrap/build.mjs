// Step: dist/ from src/.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow, fingerprint } from './fingerprint.mjs';
import { nodeBin, nodeModules, root, toolPath } from './paths.mjs';
import { runCommand } from './run-command.mjs';
import { dropStamp, readStamp, writeStamp } from './stamp.mjs';

const dist = join(root, 'dist');
const source = join(root, 'src');
const settings = ['nest-cli.json', 'package.json', 'tsconfig.json', 'tsconfig.build.json'].map((name) =>
  join(root, name),
);

const inputs = () =>
  fingerprint(
    root,
    [...filesBelow(source, (path) => !path.endsWith('.spec.ts') && !path.includes('.safelight-stamp')), ...settings],
    [readStamp(nodeModules)?.fingerprint ?? ''],
  );

/** @type {import('./main.mjs').Step} */
export const build = {
  name: 'build',
  label: 'Build',

  isUpToDate: () => readStamp(dist)?.fingerprint === inputs() && existsSync(join(dist, 'main.js')),

  async run({ lock }) {
    // Taken before: a source saved while the compiler runs makes the next run build again.
    const built = inputs();
    dropStamp(dist);
    await runCommand(join(nodeBin, 'nest'), ['build'], {
      logName: 'build.log',
      failure: 'the build failed',
      nextStep: 'correct the errors above and run the same command again.',
      env: { ...process.env, PATH: toolPath(), NO_COLOR: '1', FORCE_COLOR: '0' },
      lock,
    });
    writeStamp(dist, { fingerprint: built });
    return undefined;
  },
};
