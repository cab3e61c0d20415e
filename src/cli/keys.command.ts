import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';

import type { AccessKeyEntry } from '../config/access-keys.js';
import { ACCESS_KEY_FIELDS, KEY_ROLES } from '../config/access-keys.js';
import type { CommandContext } from './command-context.js';
import { EXIT } from './exit-code.js';

const EXAMPLES = `
Examples:
  safelight keys new ci
  safelight keys new prometheus --role monitor`;

export function addKeysCommand(program: Command, { terminal, finish }: CommandContext): void {
  const keys = program.command('keys').description('make API keys').addHelpText('after', EXAMPLES);
  keys
    .command('new')
    .description('make a key: it is printed on stdout, the entry for the settings, which has only its hash, on stderr')
    .argument('<id>', 'name of the key', keyId)
    .addOption(new Option('--role <role>', 'what it may do').choices(KEY_ROLES).default('user'))
    .action(async (id: string, { role }: Pick<AccessKeyEntry, 'role'>) => {
      const { printNewKey } = await import('./keys/new-key.js');
      printNewKey(terminal, { id, role });
      finish(EXIT.done);
    });
}

function keyId(text: string): string {
  const field = ACCESS_KEY_FIELDS['id'];
  if (field?.kind.read(text, '').ok !== true) throw new InvalidArgumentError(`allowed is ${field?.kind.allowed}.`);
  return text;
}
