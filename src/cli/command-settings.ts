import { loadSettings } from '../config/load-settings.js';
import type { Override, Settings } from '../config/settings.js';
import type { Terminal } from './terminal.js';

/** Reads the settings for a command; what is odd about them goes to stderr. */
export function commandSettings(
  terminal: Terminal,
  config: string | undefined,
  overrides: readonly Override[] = [],
): Settings {
  const settings = loadSettings({ configFile: config, overrides, env: terminal.env, cwd: terminal.cwd });
  for (const warning of settings.warnings) terminal.err(`Warning: ${warning}`);
  return settings;
}
