import type { JobJson } from './load.js';
import type { Picture } from './pictures.js';
import { largestDifference, TOLERANCE } from './pictures.js';
import type { References } from './references.js';
import { PICTURE_REQUESTS } from './requests.js';
import type { JobRow, Rows } from './rows.js';
import type { Accepted } from './submission.js';

/** A job that ended, with its pictures. */
export interface Ended {
  readonly accepted: Accepted;
  /** Null: no such job. */
  readonly job: JobJson | null;
  readonly pictures: readonly Picture[];
}

/** What became of the jobs. */
export interface Verdict {
  readonly accepted: number;
  readonly succeeded: number;
  readonly cancelledAsAsked: number;
  /** Jobs whose clients hung up, by the state they ended in. They are nobody's, and among none of the other numbers. */
  readonly hungUpOn: Readonly<Record<string, number>>;
  /** Ended as failed or expired, with their records; by failure kind. */
  readonly failed: Readonly<Record<string, number>>;
  /** Ids, as of all that follows. Accepted, and then absent, or cancelled though nobody asked. */
  readonly lost: readonly string[];
  /** Not final long after the last fault. */
  readonly stuck: readonly string[];
  /** Two jobs of one key, two results of one job, or more than one end. */
  readonly duplicated: readonly string[];
  readonly wrong: readonly string[];
  readonly exactPictures: number;
  readonly otherPictures: number;
  /** Of pictures that are not exact: most levels of 255 off the one made alone. */
  readonly largestDifference: number;
  /** Succeeded jobs on a rung of the ladder. */
  readonly degraded: number;
}

export function judge(
  ended: readonly Ended[],
  stuck: readonly Accepted[],
  rows: Rows,
  references: References,
): Verdict {
  const jobs = ended.flatMap(({ job }) => (job === null ? [] : [job]));
  const succeeded = ended.filter(({ job }) => job?.state === 'succeeded');
  const compared = succeeded.map((one) => ({ ...one, off: offBy(one, references) }));
  const isCancelled = ({ job }: Ended) => job?.state === 'cancelled';
  const mayCancel = ({ accepted }: Ended) => accepted.manner === 'cancel';
  const nobodys = strangers([...ended.map(({ accepted }) => accepted), ...stuck], rows);
  const idsOf = (some: readonly Ended[]) => some.map(({ accepted }) => accepted.id);
  return {
    accepted: ended.length + stuck.length,
    succeeded: succeeded.length,
    cancelledAsAsked: ended.filter((one) => isCancelled(one) && mayCancel(one)).length,
    hungUpOn: countBy(
      nobodys.filter(({ finishedAt }) => finishedAt !== null),
      ({ state }) => state,
    ),
    failed: countBy(
      jobs.filter(({ state }) => state === 'failed' || state === 'expired'),
      ({ state, failure }) => failure?.kind ?? state,
    ),
    lost: idsOf(ended.filter((one) => one.job === null || (isCancelled(one) && !mayCancel(one)))),
    stuck: [...stuck, ...nobodys.filter(({ finishedAt }) => finishedAt === null)].map(({ id }) => id),
    duplicated: duplicates(ended, rows),
    wrong: idsOf(compared.filter(({ accepted, off }) => off > (requestOf(accepted).exact ? 0 : TOLERANCE))),
    exactPictures: compared.filter(({ accepted }) => requestOf(accepted).exact).flatMap(({ pictures }) => pictures)
      .length,
    otherPictures: compared.filter(({ accepted }) => !requestOf(accepted).exact).flatMap(({ pictures }) => pictures)
      .length,
    largestDifference: compared
      .filter(({ accepted }) => !requestOf(accepted).exact)
      .reduce((largest, { off }) => Math.max(largest, off), 0),
    degraded: jobs.filter(({ state, degradations }) => state === 'succeeded' && degradations.length > 0).length,
  };
}

const requestOf = ({ request }: Accepted) => PICTURE_REQUESTS[request]!;

/** Levels off the pictures made alone; Infinity when their number differs. */
function offBy({ accepted, pictures }: Ended, references: References): number {
  const expected = references[accepted.request]!;
  if (pictures.length !== expected.length) return Infinity;
  return Math.max(...pictures.map((picture, index) => largestDifference(picture, expected[index]!)));
}

/** Jobs that nobody was told of and that have no key. */
function strangers(accepted: readonly Accepted[], rows: Rows): JobRow[] {
  const known = new Set([...accepted.flatMap(({ ids }) => [...ids]), ...[...rows.jobsByKey.values()].flat()]);
  return rows.jobs.filter(({ id }) => !known.has(id));
}

function duplicates(ended: readonly Ended[], rows: Rows): string[] {
  const known = new Set(ended.flatMap(({ accepted }) => [...accepted.ids]));
  const successes = countBy(
    rows.attempts.filter(({ outcome }) => outcome === 'succeeded'),
    ({ jobId }) => jobId,
  );
  const artifacts = new Map(rows.jobs.map(({ id, artifacts: count }) => [id, count]));
  const twice = ended.flatMap(({ accepted }) => {
    const { id, key, ids } = accepted;
    const tooMany =
      ids.size > 1 ||
      (rows.jobsByKey.get(key)?.length ?? 0) > 1 ||
      (successes[id] ?? 0) > 1 ||
      (rows.finals.get(id) ?? 0) > 1 ||
      (artifacts.get(id) ?? 0) > requestOf(accepted).num_images;
    return tooMany ? [id] : [];
  });
  const keys = new Set(ended.map(({ accepted }) => accepted.key));
  const ours = [...rows.jobsByKey].filter(([key]) => keys.has(key)).flatMap(([, ids]) => ids);
  return [...new Set([...twice, ...ours.filter((id) => !known.has(id))])];
}

function countBy<T>(list: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  return Object.fromEntries(Object.entries(Object.groupBy(list, keyOf)).map(([key, some]) => [key, some!.length]));
}
