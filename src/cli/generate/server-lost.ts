import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';
import { formatDuration } from '../format-duration.js';

/** Whether an error means that the server is no longer there, and not that it refused something. */
export function isServerLost(error: unknown): boolean {
  return error instanceof CliError && (error.kind === 'connection_lost' || error.kind === 'unreachable');
}

/** The end of a command whose server, named by the person, did not come back. `jobId` is null when it never answered. */
export function serverStaysAway(url: string, jobId: string | null, limitMs: number, cause: unknown): CliError {
  const away = `The server ${url} went away and was not back within ${formatDuration(limitMs)}.`;
  const [rest, nextStep] =
    jobId === null
      ? ['It may have taken the job.', `when it is back, look for the job: safelight jobs --server ${url}`]
      : [
          `It keeps the job ${jobId} and goes on with it when it is back.`,
          `when it is back: safelight jobs show ${jobId} --server ${url}`,
        ];
  return new CliError({
    kind: 'connection_lost',
    message: `${away} ${rest}`,
    nextStep,
    exitCode: EXIT.failed,
    cause,
  });
}
