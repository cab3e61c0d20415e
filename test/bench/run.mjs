// Runs a benchmark written in TypeScript: `node test/bench/run.mjs test/bench/faults/main.ts …`. Node strips the types;
// sources import './x.js' where the file is './x.ts', which it does not know by itself.
import { existsSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

registerHooks({
  resolve(specifier, context, next) {
    if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL !== undefined) {
      const source = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL);
      if (existsSync(fileURLToPath(source))) return next(source.href, context);
    }
    return next(specifier, context);
  },
});

const [main = ''] = process.argv.splice(2, 1);
await import(pathToFileURL(resolve(main)).href);
