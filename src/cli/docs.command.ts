import type { Command } from 'commander';

import type { CommandContext } from './command-context.js';

export interface DocsOptions {
  readonly check?: true;
  readonly write?: true;
}

export function addDocsCommand(program: Command, { terminal, finish }: CommandContext): void {
  program
    .command('docs')
    .description('check or write the reference pages that are made from the code')
    .option('--check', 'fail when a page is not up to date (the default)')
    .option('--write', 'write the pages')
    .action(async (options: DocsOptions) => {
      const { runDocs } = await import('./docs/run-docs.js');
      const { REFERENCE_PAGES } = await import('./docs/reference-pages.js');
      const { PACKAGE_ROOT } = await import('./package-root.js');
      finish(await runDocs(terminal, REFERENCE_PAGES, PACKAGE_ROOT, options.write ?? false));
    });
}
