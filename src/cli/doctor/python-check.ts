import type { Settings } from '../../config/settings.js';
import { DEFAULT_PYTHON } from '../package-root.js';
import type { Finding } from './finding.js';
import { fail, ok, warn } from './finding.js';
import { runTool } from './run-tool.js';

const PACKAGES = ['torch', 'diffusers', 'transformers', 'safetensors', 'grpcio', 'protobuf', 'pillow', 'numpy'];

/** Reads versions from the packages' metadata: importing torch takes seconds and says nothing more. */
const SCRIPT = `
import json, platform, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps({"python": platform.python_version(), "packages": {name: version(name) for name in sys.argv[1:]}}))
`;

const SET_UP = 'run `npm run bootstrap`, which makes the environment';

/** What an interpreter told about itself. */
export interface PythonFacts {
  readonly python: string;
  readonly packages: Readonly<Record<string, string | null>>;
}

export interface PythonCheck {
  readonly findings: readonly Finding[];
  /** Null when the interpreter does not start. */
  readonly facts: PythonFacts | null;
}

/** Whether the interpreter of the workers starts and has what they import. */
export async function checkPython(settings: Settings | null): Promise<PythonCheck> {
  const own = settings?.workers.python ?? null;
  const python = own ?? DEFAULT_PYTHON;
  const outcome = await runTool(python, ['-c', SCRIPT, ...PACKAGES]);
  if (!outcome.ok) {
    const mend = own === null ? SET_UP : 'correct workers.python, or leave it out';
    return { findings: [fail('python', `${python}: ${outcome.reason}`, mend)], facts: null };
  }
  const facts = JSON.parse(outcome.stdout) as PythonFacts;
  return { findings: describePython(python, facts, own === null), facts };
}

export function describePython(path: string, { python, packages }: PythonFacts, isDefault: boolean): Finding[] {
  const missing = PACKAGES.filter((name) => packages[name] === null);
  const present = PACKAGES.filter((name) => packages[name] !== null).map((name) => `${name} ${packages[name]}`);
  const mend = isDefault ? SET_UP : `install them there: ${path} -m pip install -r python-worker/requirements.txt`;
  return [
    isSupported(python)
      ? ok('python', `${python} at ${path}`)
      : warn('python', `${python} at ${path}`, 'use Python 3.10 to 3.12; others were not tried'),
    missing.length === 0
      ? ok('packages', present.join(', '))
      : fail('packages', `missing: ${missing.join(', ')}`, mend),
  ];
}

function isSupported(version: string): boolean {
  const [major, minor = 0] = version.split('.').map(Number);
  return major === 3 && minor >= 10 && minor <= 12;
}
