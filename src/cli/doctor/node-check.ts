import { packageJson } from '../package-root.js';
import type { Finding } from './finding.js';
import { fail, ok } from './finding.js';

/** Whether this Node is one the program was written for. */
export function checkNode(version = process.versions.node, engines = packageJson().engines.node): Finding {
  const wanted = engines.replace('>=', '');
  const message = `${version} (${process.platform} ${process.arch})`;
  return isAtLeast(version, wanted)
    ? ok('node', message)
    : fail('node', message, `run it with Node.js ${wanted} or newer`);
}

function isAtLeast(version: string, wanted: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
