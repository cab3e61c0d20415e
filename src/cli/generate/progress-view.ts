import type { ProgressJson } from '../client/wire.js';
import { formatDuration } from '../format-duration.js';

/** What a person who waits is told at a moment. */
export type ProgressView =
  | { readonly stage: 'starting_server' }
  | { readonly stage: 'submitting' }
  /** `worker`: why no worker takes the job yet; null when they are merely busy. */
  | {
      readonly stage: 'waiting';
      readonly position: number | null;
      readonly waitingFor: string | null;
      readonly worker: string | null;
    }
  | { readonly stage: 'running'; readonly attempt: number; readonly progress: ProgressJson }
  /** `limitMs`: for how long it is tried; null: not for long, another server takes the job over. */
  | { readonly stage: 'reconnecting'; readonly url: string; readonly limitMs: number | null }
  | { readonly stage: 'saving' }
  | { readonly stage: 'cancelling' }
  | { readonly stage: 'stopping_server' };

const PHASE_WORDS: Readonly<Record<string, string>> = {
  load: 'loading the model',
  encode: 'reading the prompt',
  prepare: 'preparing',
  denoise: 'denoising',
  decode: 'decoding',
  validate: 'checking',
  save: 'saving',
};

export function describe(view: ProgressView): string {
  switch (view.stage) {
    case 'starting_server':
      return 'starting a server in this process';
    case 'submitting':
      return 'submitting';
    case 'waiting':
      return describeWaiting(view);
    case 'running': {
      const again = view.attempt > 1 ? ` (attempt ${view.attempt})` : '';
      return (PHASE_WORDS[view.progress.phase] ?? view.progress.phase) + again;
    }
    case 'reconnecting': {
      const limit = view.limitMs === null ? '' : `, for up to ${formatDuration(view.limitMs)}`;
      return `no answer from ${view.url}, trying again${limit}`;
    }
    case 'saving':
      return 'downloading the picture';
    case 'cancelling':
      return 'cancelling';
    case 'stopping_server':
      return 'stopping the server';
  }
}

function describeWaiting({ position, waitingFor, worker }: Extract<ProgressView, { stage: 'waiting' }>): string {
  if (worker !== null) return worker;
  if (waitingFor === 'backoff') return 'waiting before the next attempt';
  return position === null || position <= 1 ? 'queued' : `queued, number ${position} in line`;
}

const BAR_CELLS = 24;

/** One line for a terminal: what happens, bar, percent, step, time left; or for how long it has been going on. */
export function renderLine(
  view: ProgressView,
  sinceMs: number,
  terminal: { columns: number; unicode: boolean },
): string {
  const line =
    view.stage === 'running'
      ? renderRunning(view.progress, describe(view), terminal.unicode)
      : `${describe(view)} … ${formatDuration(sinceMs)}`;
  // A line that wraps cannot be drawn over.
  return line.length < terminal.columns ? line : `${line.slice(0, Math.max(0, terminal.columns - 2))}…`;
}

function renderRunning(
  { step, steps, fraction, phase, eta_ms: etaMs }: ProgressJson,
  words: string,
  unicode: boolean,
): string {
  const share = Math.min(1, Math.max(0, fraction));
  const full = Math.round(share * BAR_CELLS);
  const [on, off] = unicode ? ['█', '░'] : ['#', '-'];
  const parts = [
    words.padEnd(18),
    on.repeat(full) + off.repeat(BAR_CELLS - full),
    `${Math.floor(share * 100)} %`.padStart(5),
    ...(phase === 'denoise' && steps > 0 ? [`step ${step}/${steps}`] : []),
    ...(etaMs === null ? [] : [`${formatDuration(etaMs)} left`]),
  ];
  return parts.join('  ');
}
