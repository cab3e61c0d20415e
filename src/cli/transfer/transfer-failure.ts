import type { Settings } from '../../config/settings.js';
import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';
import { startFailure } from '../start-failure.js';

/** Why an export or an import ended, as the end of a command. What is not known here is a defect and stays as it is. */
export function transferFailure(error: unknown, settings: Settings): unknown {
  if (!(error instanceof Error)) return error;
  const failed = (kind: CliError['kind'], message: string, nextStep: string) =>
    new CliError({ kind, message, nextStep, exitCode: EXIT.failed, cause: error });
  switch (error.name) {
    case 'DatabaseInUseError':
      return failed(
        'refused',
        `A server uses the data folder ${settings.storage.dataDir}.`,
        'stop that server (Ctrl-C, or SIGTERM), then run this command again.',
      );
    case 'DamagedExportFileError':
      return failed(
        'cannot_read',
        `${error.message}.`,
        'copy the folder again from where it was exported, then run the same import: what is there already is left alone.',
      );
    case 'NoDatabaseError':
      return failed(
        'cannot_read',
        `There are no jobs in ${settings.storage.dataDir}: ${error.message}.`,
        'give the data folder of the server with --data-dir (data_dir).',
      );
    case 'ForeignRowError':
      return failed(
        'cannot_read',
        `The export is damaged: ${error.message}.`,
        'copy the folder again, or export again.',
      );
    case 'DatabaseUnusableError':
      return failed('cannot_write', sentence(error.message), 'correct DATABASE_URL, or see that the database answers.');
    case 'UnusableArtifactStoreError': {
      const { reason, nextStep } = error as Error & { reason: string; nextStep: string };
      return failed('cannot_write', `Pictures cannot be kept: ${reason}.`, nextStep);
    }
    case 'StoreUnavailableError':
    case 'ArtifactStoreUnavailableError':
      return failed(
        'cannot_write',
        sentence(error.message),
        'see that it can be used, then run the same command again.',
      );
    default:
      return startFailure(error, settings);
  }
}

function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}
