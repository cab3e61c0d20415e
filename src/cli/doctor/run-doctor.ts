import { ConfigError } from '../../config/config-error.js';
import { loadSettings } from '../../config/load-settings.js';
import type { Settings } from '../../config/settings.js';
import { VERSION } from '../../telemetry/version.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import type { Terminal } from '../terminal.js';
import { checkDatabase } from './database-check.js';
import { checkDataFolder } from './data-folder-check.js';
import { checkDevices } from './devices-check.js';
import type { Finding } from './finding.js';
import { fail, ok, warn } from './finding.js';
import { checkModels } from './models-check.js';
import { checkNode } from './node-check.js';
import { checkPython } from './python-check.js';
import { checkServer } from './server-check.js';

export interface DoctorOptions {
  readonly config?: string;
  readonly json?: true;
}

/** Looks at everything a server needs, each look bounded, and says what it found. */
export async function runDoctor(terminal: Terminal, options: DoctorOptions): Promise<ExitCode> {
  const { settings, findings: about } = readSettings(terminal, options.config);
  const python = await checkPython(settings);
  const others = await Promise.all([
    checkDevices(python.facts?.packages['torch'] ?? null),
    ...(settings === null
      ? []
      : [checkModels(settings), checkDataFolder(settings), checkDatabase(settings), checkServer(settings)]),
  ]);
  const findings = [ok('safelight', VERSION), ...about, checkNode(), ...python.findings, ...others.flat()];
  const isFit = findings.every(({ status }) => status !== 'fail');
  if (options.json) terminal.out(JSON.stringify({ version: VERSION, ok: isFit, findings }));
  else for (const line of renderFindings(findings)) terminal.out(line);
  return isFit ? EXIT.done : EXIT.failed;
}

function readSettings(
  terminal: Terminal,
  config: string | undefined,
): { settings: Settings | null; findings: Finding[] } {
  try {
    const settings = loadSettings({ configFile: config, env: terminal.env, cwd: terminal.cwd });
    const { configFile, origins } = settings.sources;
    const changed = origins.map(({ setting, from }) => `${setting} (${from})`).join(', ');
    const told = ok(
      'settings',
      `${configFile ?? 'no settings file'}; ${changed === '' ? 'all defaults' : `set: ${changed}`}`,
    );
    return {
      settings,
      findings: [told, ...settings.warnings.map((text) => warn('settings', text, 'unset or rename it'))],
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const findings = error.problems.map(({ where, message, allowed, nextStep }) =>
      fail('settings', `${where}: ${message}${allowed === null ? '' : ` (allowed: ${allowed})`}`, nextStep),
    );
    return { settings: null, findings };
  }
}

export function renderFindings(findings: readonly Finding[]): string[] {
  const width = Math.max(...findings.map(({ area }) => area.length));
  const lines = findings.flatMap(({ area, status, message, mend }) => [
    `${status.padEnd(4)}  ${area.padEnd(width)}  ${message}`,
    ...(mend === null ? [] : [`${' '.repeat(width + 8)}→ ${mend}`]),
  ]);
  const count = (wanted: Finding['status']) => findings.filter(({ status }) => status === wanted).length;
  const [failed, warned] = [count('fail'), count('warn')];
  const verdict = failed > 0 ? `${failed} of ${findings.length} checks failed.` : 'Nothing stands in the way.';
  const look = warned === 0 ? '' : ` ${warned} ${warned === 1 ? 'deserves' : 'deserve'} a look.`;
  return [...lines, '', verdict + look];
}
