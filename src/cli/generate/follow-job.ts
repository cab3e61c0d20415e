import { CliError } from '../cli-error.js';
import type { ApiClient } from '../client/api-client.js';
import { ApiError } from '../client/api-error.js';
import type { StreamLimits } from '../client/event-stream.js';
import { readEvents, StreamLostError } from '../client/event-stream.js';
import type { JobJson, ProgressJson, WorkerJson } from '../client/wire.js';
import { EXIT } from '../exit-code.js';
import type { ProgressDisplay } from './progress-display.js';
import { RestartWatch } from './restart-watch.js';
import { WaitingView, workerText } from './waiting-view.js';

interface FollowOptions {
  readonly display: ProgressDisplay;
  readonly signal: AbortSignal;
  readonly limits?: Partial<StreamLimits>;
  /** As for {@link RestartWatch}. */
  readonly maxRestarts: number | null;
  /** For how long a server that went away is waited for, as far as people are told; null: another one takes its place. */
  readonly awayLimitMs?: number | null;
  /** Told of every sign of life of the server. */
  readonly onLife?: () => void;
}

const NO_PROGRESS: ProgressJson = { phase: 'load', step: 0, steps: 0, fraction: 0, eta_ms: null };

/** Shows a job's progress until it is final. Rejects with an AbortError when the signal aborts. */
export async function followJob(client: ApiClient, jobId: string, options: FollowOptions): Promise<JobJson> {
  const { display, limits = {}, awayLimitMs = null, onLife = () => {} } = options;
  const hopeless = new AbortController();
  const signal = AbortSignal.any([options.signal, hopeless.signal]);
  const restarts = new RestartWatch(options.maxRestarts);
  const onLook = (workers: readonly WorkerJson[]) => {
    if (restarts.isHopeless(workers)) hopeless.abort(workersDown(workers));
  };
  const waiting = new WaitingView({ client, jobId, display, signal, onLook });
  let attempt = 1;
  let progress = NO_PROGRESS;
  let isRunning = false;
  const showRunning = () => display.show({ stage: 'running', attempt, progress });
  const onAway = (isAway: boolean) => {
    waiting.stop();
    if (isAway) display.show({ stage: 'reconnecting', url: client.url, limitMs: awayLimitMs });
    else if (isRunning) showRunning();
    else waiting.start();
  };
  const events = readEvents({
    open: (lastEventId, both) => {
      const headers = { accept: 'text/event-stream', ...(lastEventId !== null && { 'last-event-id': lastEventId }) };
      return client.open(`/v1/jobs/${jobId}/events`, headers, both);
    },
    isPassing: (error) => !(error instanceof SyntaxError) && (!(error instanceof ApiError) || error.isPassing),
    lastEvent: 'final',
    signal,
    limits,
    onLife,
    onAway,
  });
  try {
    waiting.start();
    for await (const { event, data } of events) {
      if (event === 'final') return (data as { job: JobJson }).job;
      if (event === 'state') {
        const { state, attempt: number } = data as { state: string; attempt: number };
        if (number > attempt) progress = NO_PROGRESS;
        attempt = Math.max(1, number);
        isRunning = state === 'running';
        if (isRunning) restarts.worked();
        if (isRunning) waiting.stop();
        else waiting.start();
      }
      if (event === 'progress' || event === 'phase') {
        isRunning = true;
        waiting.stop();
        // A phase event names the phase only: the numbers stay until the next ones come.
        progress = { ...progress, ...(event === 'phase' && { eta_ms: null }), ...(data as Partial<ProgressJson>) };
        showRunning();
      }
    }
    throw new StreamLostError('the stream ended before its last event');
  } catch (error) {
    if (hopeless.signal.aborted) throw hopeless.signal.reason;
    throw error instanceof StreamLostError ? connectionLost(client, jobId, error) : error;
  } finally {
    waiting.stop();
  }
}

function workersDown(workers: readonly WorkerJson[]): CliError {
  return new CliError({
    kind: 'worker_lost',
    message: `The worker does not start: ${workerText(workers)}.`,
    nextStep:
      '`safelight doctor` looks for the reason; logs/generate.log in the data folder has the words of the worker.',
    exitCode: EXIT.failed,
  });
}

function connectionLost(client: ApiClient, jobId: string, cause: Error): CliError {
  return new CliError({
    kind: 'connection_lost',
    message:
      `The connection to ${client.url} was lost and did not come back. ` +
      `The server keeps the job ${jobId} and goes on with it when it is back.`,
    nextStep: `when the server is back: safelight jobs show ${jobId}`,
    exitCode: EXIT.failed,
    cause,
  });
}
