import type { FullLoadFigures, LivenessFigures } from './full-load.js';
import type { LoneJobFigures } from './lone-job.js';

/** One promise, measured. */
export interface Gate {
  readonly title: string;
  readonly value: string;
  readonly bound: string;
  readonly isMet: boolean;
}

const LONE_RATIO = 1.1;
const LONE_MS = 5;
const LIVE_P99_MS = 20;

export function judgeGates(lone: LoneJobFigures, { experiment, liveness }: FullLoadFigures): readonly Gate[] {
  return [loneJob(lone), rightPictures(experiment), live(liveness)];
}

/** A lone job never waits for company: no batching window fits into this. */
function loneJob({ bare, served }: LoneJobFigures): Gate {
  const bound = LONE_RATIO * bare + LONE_MS;
  return {
    title: 'a lone job, end to end',
    value: `${served.toFixed(1)} ms`,
    bound: `≤ ${bound.toFixed(1)} ms: ${LONE_RATIO} × the bare pipeline's ${bare.toFixed(1)} + ${LONE_MS}`,
    isMet: served <= bound,
  };
}

/** Nothing failed or was refused either: a picture that does not come is not right. */
function rightPictures({ figures, pictures }: FullLoadFigures['experiment']): Gate {
  const missing = figures.requests - figures.succeeded;
  return {
    title: 'mixed sizes and step counts, right pictures',
    value: `${pictures.compared - pictures.wrong} of ${pictures.compared}${missing > 0 ? `, ${missing} requests without` : ''}`,
    bound: 'all',
    isMet: pictures.compared > 0 && pictures.wrong === 0 && missing === 0,
  };
}

/** A probe that was not answered is slower than any bound. */
function live({ probes, failed, p99 }: LivenessFigures): Gate {
  return {
    title: '`/health/live` under full load, p99',
    value: `${p99.toFixed(1)} ms${failed > 0 ? `, ${failed} of ${probes} not answered` : ''}`,
    bound: `≤ ${LIVE_P99_MS} ms`,
    isMet: probes > 0 && failed === 0 && p99 <= LIVE_P99_MS,
  };
}
