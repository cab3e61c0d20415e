import type { Settings } from '../config/settings.js';
import { CliError } from './cli-error.js';
import { EXIT } from './exit-code.js';

type Row = { readonly message: string; readonly nextStep: string; readonly exitCode: CliError['exitCode'] };

/** Why a server did not start, as the end of a command. What is not known here is a defect and stays as it is. */
export function startFailure(error: unknown, settings: Settings): unknown {
  if (!(error instanceof Error)) return error;
  const row = ofArtifactStore(error) ?? ofGrpc(error) ?? byName(error) ?? byCode(error, settings);
  return row === null ? error : new CliError({ kind: 'cannot_start', cause: error, ...row });
}

/** Whether another server holds the data folder: it may be about to listen. */
export function isDataFolderInUse(error: unknown): boolean {
  return error instanceof CliError && error.cause instanceof Error && error.cause.name === 'DatabaseInUseError';
}

/** Brings its own next step. */
function ofArtifactStore(error: Error & { readonly reason?: string; readonly nextStep?: string }): Row | null {
  const { name, reason, nextStep } = error;
  if (name !== 'UnusableArtifactStoreError' || reason === undefined || nextStep === undefined) return null;
  return { message: `Pictures cannot be kept: ${reason}.`, nextStep, exitCode: EXIT.config };
}

/** Listens beside HTTP, so that its address is another one and its settings are too. */
function ofGrpc({
  name,
  code,
  host,
  port,
}: NodeJS.ErrnoException & { readonly host?: string; readonly port?: number }): Row | null {
  if (name !== 'GrpcListenError') return null;
  const address = `${host}:${port}`;
  return {
    message:
      code === 'EADDRINUSE'
        ? `Another program listens on ${address}, where gRPC was to be.`
        : `gRPC cannot listen on ${address} (${code}).`,
    nextStep:
      'stop what listens there, or choose another port with grpc.port (SAFELIGHT_GRPC_PORT); 0 takes a free one, and grpc.enabled: false does without gRPC.',
    exitCode: code === 'EADDRINUSE' ? EXIT.failed : EXIT.config,
  };
}

/** Errors of adapters, which the command line does not import; their messages are written for people. */
function byName({ name, message }: Error): Row | null {
  switch (name) {
    case 'DatabaseInUseError':
      return {
        message,
        nextStep: 'use that server, stop it, or give this one a data folder of its own (data_dir).',
        exitCode: EXIT.failed,
      };
    case 'DatabaseUnusableError':
      return {
        message: `${message.charAt(0).toUpperCase()}${message.slice(1)}.`,
        nextStep:
          'start it, or correct database.url (DATABASE_URL); without that setting jobs are kept in the data folder.',
        exitCode: EXIT.config,
      };
    case 'SchemaTooNewError':
      return {
        message,
        nextStep: 'run the newer version, or use another data folder (data_dir).',
        exitCode: EXIT.config,
      };
    case 'GrpcCertificateError':
      return {
        message,
        nextStep: 'correct grpc.tls_cert and grpc.tls_key: both PEM, readable for this user, and belonging together.',
        exitCode: EXIT.config,
      };
    case 'UnusableModelError':
      return {
        message: `A model cannot be served. ${message}`,
        nextStep: 'mend the folder, or correct `models` in the settings; `safelight doctor` looks at all of them.',
        exitCode: EXIT.config,
      };
    default:
      return null;
  }
}

function byCode(error: NodeJS.ErrnoException, { http, storage }: Settings): Row | null {
  const address = `${http.host}:${http.port}`;
  const isListening = error.syscall === 'listen' || error.syscall === 'getaddrinfo';
  switch (error.code) {
    case 'EADDRINUSE':
      return {
        message: `Another program listens on ${address}.`,
        nextStep:
          'stop it, or choose another port with --port (http.port); 0 takes a free one. `safelight doctor` tells what it is.',
        exitCode: EXIT.failed,
      };
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return {
        message: `${http.host} is no address of this machine.`,
        nextStep: 'correct --host (http.host).',
        exitCode: EXIT.config,
      };
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
      if (isListening) {
        return {
          message: `The system does not let this user listen on ${address}.`,
          nextStep: 'choose a port above 1023.',
          exitCode: EXIT.config,
        };
      }
      return {
        message: `${error.path ?? storage.dataDir} cannot be written (${error.code}) by user ${process.getuid?.() ?? ''}.`,
        nextStep: 'make it writable for this user, or choose another data_dir.',
        exitCode: EXIT.config,
      };
    default:
      return null;
  }
}
