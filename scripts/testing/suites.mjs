// All tests of both languages, in the order a newcomer wants to see them fail.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeBin, pythonWorker, root, venvPython } from '../bootstrap/paths.mjs';
import { readJestReport, readJunitReport } from './reports.mjs';

/**
 * @typedef {object} Suite
 * @property {string} title
 * @property {string} command
 * @property {(report: string) => string[]} args
 * @property {string} cwd
 * @property {(report: string) => import('./reports.mjs').Tally} read
 */

/**
 * @param {string[]} more
 * @returns {(report: string) => string[]}
 */
const jest =
  (...more) =>
  (report) => [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    '--ci',
    '--json',
    `--outputFile=${report}`,
    ...more,
  ];

/** @param {string} report */
const readJest = (report) => readJestReport(JSON.parse(readFileSync(report, 'utf8')), root);

/** @type {Suite[]} */
export const suites = [
  {
    title: 'unit and contract tests (TypeScript)',
    command: join(nodeBin, 'node'),
    args: jest('--selectProjects', 'unit', 'contract'),
    cwd: root,
    read: readJest,
  },
  {
    title: 'worker tests (Python)',
    command: venvPython,
    // Two at a time, file by file: each computes with one thread, and a file's tests share their models.
    args: (report) => ['-m', 'pytest', '-q', '-n', '2', '--dist', 'loadfile', `--junitxml=${report}`],
    cwd: pythonWorker,
    read: (report) => readJunitReport(readFileSync(report, 'utf8')),
  },
  {
    // Each of its tests starts the whole program: one at a time. A hook that runs out of time leaves a server nobody stops;
    // the run would wait for it until its limit, and must end, which ends the server.
    title: 'end-to-end tests',
    command: join(nodeBin, 'node'),
    args: jest('--selectProjects', 'e2e', '--runInBand', '--forceExit'),
    cwd: root,
    read: readJest,
  },
];
