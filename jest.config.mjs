// Three projects, by what a test needs: nothing (unit), an adapter or a worker (contract), the whole
// program (e2e). `npm test` runs e2e in a process of its own with one worker: each of its tests
// already starts an orchestrator and Python workers.
const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  // Nest packages and ours are ESM: sources import './x.js' and the file is './x.ts'.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        sourceMaps: 'inline',
        module: { type: 'es6' },
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
          keepClassNames: true,
        },
      },
    ],
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/python-worker/'],
  coveragePathIgnorePatterns: ['/node_modules/', '/src/gen/'],
};

/**
 * @param {string} displayName
 * @param {string[]} testMatch
 */
const project = (displayName, testMatch) => ({ ...shared, displayName, testMatch });

export default {
  projects: [
    project('unit', [
      '<rootDir>/src/**/*.spec.ts',
      '<rootDir>/test/toolchain/**/*.spec.ts',
      '<rootDir>/test/bench/**/*.spec.ts',
    ]),
    project('contract', ['<rootDir>/test/contract/**/*.spec.ts', '<rootDir>/test/contract/**/*.e2e-spec.ts']),
    project('e2e', ['<rootDir>/test/e2e/**/*.e2e-spec.ts', '<rootDir>/test/e2e/**/*.spec.ts']),
  ],
  // Jest takes this for all projects or none. A worker starts in seconds, on a busy two-core machine in up to 20.
  testTimeout: 120_000,
  coverageProvider: 'v8',
  // The module registry grows by some 13 MB per suite: recycle a process before it gets large.
  workerIdleMemoryLimit: '512MB',
};
