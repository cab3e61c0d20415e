// Step: TypeScript and Python from proto/. Takes a second; nothing of it is in git.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { filesBelow, fingerprint } from './fingerprint.mjs';
import { nodeBin, nodeModules, pythonWorker, root, toolPath, venv, venvPython } from './paths.mjs';
import { runCommand } from './run-command.mjs';
import { dropStamp, readStamp, writeStamp } from './stamp.mjs';

const proto = join(root, 'proto');
const typescriptOut = join(root, 'src', 'gen');
const pythonOut = join(pythonWorker, 'safelight_worker', 'pb');
const workerProto = join(proto, 'safelight', 'worker', 'v1');
const descriptorsOut = join(typescriptOut, 'safelight', 'v1', 'descriptors.ts');

/** @param {string} tools the stamp of what generates: another version may write other code */
const inputs = (tools) => fingerprint(root, filesBelow(proto), [readStamp(tools)?.fingerprint ?? '']);

/** @type {import('./main.mjs').Step} */
export const typescriptStubs = {
  name: 'stubs',
  label: 'TypeScript from proto',

  isUpToDate: () => readStamp(typescriptOut)?.fingerprint === inputs(nodeModules) && existsSync(descriptorsOut),

  async run({ lock }) {
    dropStamp(typescriptOut);
    await runCommand(join(nodeBin, 'buf'), ['generate', 'proto', '--template', 'proto/buf.gen.yaml'], {
      logName: 'buf-generate.log',
      failure: '`buf generate` failed',
      nextStep: 'correct proto/ (`npm run lint` shows more) and run the same command again.',
      env: { ...process.env, PATH: toolPath() },
      lock,
    });
    await describePublicApi(lock);
    writeStamp(typescriptOut, { fingerprint: inputs(nodeModules) });
    return undefined;
  },
};

/**
 * The descriptors that the public API tells by reflection, as a module: a file beside the code would have to be found from the
 * sources and from dist/ alike.
 * @param {import('./main.mjs').StepContext['lock']} lock
 */
async function describePublicApi(lock) {
  const folder = mkdtempSync(join(tmpdir(), 'safelight-descriptors-'));
  try {
    const file = join(folder, 'descriptors.binpb');
    const only = ['--path', 'proto/safelight/v1', '--as-file-descriptor-set', '--exclude-source-info'];
    await runCommand(join(nodeBin, 'buf'), ['build', 'proto', ...only, '-o', file], {
      logName: 'buf-build.log',
      failure: '`buf build` failed',
      nextStep: 'correct proto/ (`npm run lint` shows more) and run the same command again.',
      env: { ...process.env, PATH: toolPath() },
      lock,
    });
    const text = readFileSync(file).toString('base64');
    const comment = '// Generated from proto/ by `npm run proto`: a google.protobuf.FileDescriptorSet in base64.';
    writeFileSync(descriptorsOut, `${comment}\nexport const DESCRIPTORS = '${text}';\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @type {import('./main.mjs').Step} */
export const pythonStubs = {
  name: 'stubs',
  label: 'Python from proto',

  isUpToDate: () =>
    readStamp(pythonOut)?.fingerprint === inputs(venv) && existsSync(join(pythonOut, 'worker_pb2_grpc.py')),

  async run({ lock }) {
    rmSync(pythonOut, { recursive: true, force: true });
    // protoc writes into folders that are there. The __init__ makes it a package for import-linter and mypy.
    writeStamp(pythonOut, { fingerprint: 'unfinished' });
    writeFileSync(join(pythonOut, '__init__.py'), '"""Generated from proto/ by `npm run proto`; ignored by git."""\n');
    // The left side of -I is the place protoc is told the files lie in, so that the generated
    // modules import each other as safelight_worker.pb.…, not by the path of proto/.
    const virtual = 'safelight_worker/pb';
    const files = filesBelow(workerProto, (path) => path.endsWith('.proto')).map(
      (path) => `${virtual}/${relative(workerProto, path)}`,
    );
    await runCommand(
      venvPython,
      [
        '-m',
        'grpc_tools.protoc',
        `-I${virtual}=${relative(pythonWorker, workerProto)}`,
        '--python_out=.',
        '--pyi_out=.',
        '--grpc_python_out=.',
        ...files,
      ],
      {
        logName: 'protoc.log',
        failure: 'the Python code could not be generated from proto/',
        nextStep: 'correct proto/ (`npm run lint` shows more) and run the same command again.',
        cwd: pythonWorker,
        lock,
      },
    );
    await runCommand(venvPython, ['-c', 'import safelight_worker.pb.worker_pb2_grpc'], {
      logName: 'stub-import.log',
      failure: 'the generated Python code does not import',
      nextStep: 'compare the versions of grpcio, grpcio-tools and protobuf in python-worker/requirements*.txt.',
      cwd: pythonWorker,
      lock,
    });
    writeStamp(pythonOut, { fingerprint: inputs(venv) });
    return undefined;
  },
};
