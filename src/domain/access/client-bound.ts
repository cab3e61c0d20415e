import type { CallerLimits } from './caller.js';

export const USAGE_SPANS = { minute: 60_000, day: 86_400_000 } as const;
export type UsageSpan = keyof typeof USAGE_SPANS;

/** The name a limit goes by in settings, errors and docs. */
export type ClientLimit = 'max_unfinished_jobs' | 'max_jobs_per_minute' | 'max_images_per_day';

export const LIMIT_OF_SPAN: Readonly<Record<UsageSpan, ClientLimit>> = {
  minute: 'max_jobs_per_minute',
  day: 'max_images_per_day',
};

/** What a submission takes of a client's share, and how much of it there is. */
export interface ClientBound {
  readonly client: string;
  readonly maxUnfinished: number | null;
  readonly spans: readonly {
    readonly span: UsageSpan;
    /** Beginning of the span, epoch milliseconds. */
    readonly startsAt: number;
    /** What this submission adds. */
    readonly adds: number;
    readonly max: number;
  }[];
}

/** Undefined: the client has no limits. */
export function clientBound(
  client: string,
  limits: CallerLimits,
  submitted: { readonly jobs: number; readonly images: number },
  now: number,
): ClientBound | undefined {
  const { maxUnfinishedJobs, maxJobsPerMinute, maxImagesPerDay } = limits;
  const span = (name: UsageSpan, adds: number, max: number | null) =>
    max === null ? [] : [{ span: name, startsAt: now - (now % USAGE_SPANS[name]), adds, max }];
  const spans = [
    ...span('minute', submitted.jobs, maxJobsPerMinute),
    ...span('day', submitted.images, maxImagesPerDay),
  ];
  if (spans.length === 0 && maxUnfinishedJobs === null) return undefined;
  return { client, maxUnfinished: maxUnfinishedJobs, spans };
}
