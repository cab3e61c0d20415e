// Makes a fresh clone ready to run: Node packages, Python packages, generated code, build.
// Plain Node 20 and nothing else, because it runs before anything is installed. This first file
// keeps to syntax that an old Node still parses, so that it can say what is wrong.
//
//   node scripts/bootstrap.mjs [--verbose] [--without=build]
//
// It prints nothing when there is nothing to do. SAFELIGHT_SKIP_BOOTSTRAP=1 skips it (containers
// bring everything built). scripts/bootstrap/main.mjs is where to read on.
import process from 'node:process';

const MINIMUM_NODE_MAJOR = 20;

if (process.env.SAFELIGHT_SKIP_BOOTSTRAP !== '1') {
  if (Number(process.versions.node.split('.')[0]) < MINIMUM_NODE_MAJOR) {
    console.error(
      'Safelight needs Node.js ' +
        MINIMUM_NODE_MAJOR +
        ' or newer to set itself up; this is ' +
        process.versions.node +
        '.',
    );
    console.error('Next step: install a current Node.js (24 LTS is fine) and run the same command again.');
    process.exit(1);
  }
  const { main } = await import('./bootstrap/main.mjs');
  process.exitCode = await main(process.argv.slice(2));
}
