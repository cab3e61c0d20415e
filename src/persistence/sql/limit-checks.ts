import type { ClientBound } from '../../domain/access/client-bound.js';
import { LIMIT_OF_SPAN, USAGE_SPANS } from '../../domain/access/client-bound.js';
import type { InsertResult } from '../../jobs/ports/job-store.port.js';
import type { Row, StatementGroup } from './sql-runner.js';
import { stopIfTooManyUnfinished, takeShare, waitTurn } from './statements/usage-statements.js';

type OverLimit = Extract<InsertResult, { outcome: 'over_limit' }>;

/** Statements that judge one limit of a client, and what it means when they end the group. */
export interface LimitCheck {
  readonly group: StatementGroup;
  refusal(row: Row | undefined): OverLimit;
}

/** The spans come first: their rows make submissions of one client wait for each other. `count`: jobs to insert. */
export function limitChecks({ client, maxUnfinished, spans }: ClientBound, count: number): readonly LimitCheck[] {
  const ofSpans = spans.map((share): LimitCheck => ({
    group: takeShare(client, share),
    refusal: (row) => ({
      outcome: 'over_limit',
      limit: LIMIT_OF_SPAN[share.span],
      // Without this submission, which was counted before it was judged.
      used: Number(row?.used) - share.adds,
      max: share.max,
      renewsAt: share.startsAt + USAGE_SPANS[share.span],
    }),
  }));
  if (maxUnfinished === null) return ofSpans;
  const unfinished: LimitCheck = {
    group: [...(spans.length === 0 ? [waitTurn(client)] : []), stopIfTooManyUnfinished(client, count, maxUnfinished)],
    refusal: (row) => ({
      outcome: 'over_limit',
      limit: 'max_unfinished_jobs',
      used: Number(row?.used),
      max: maxUnfinished,
      renewsAt: null,
    }),
  };
  return [...ofSpans, unfinished];
}

/** The refusal of the check that ended the group. `position` counts the statements of all checks in their order. */
export function overLimit(checks: readonly LimitCheck[], position: number, row: Row | undefined): OverLimit {
  let behind = 0;
  for (const check of checks) {
    behind += check.group.length;
    if (position < behind) return check.refusal(row);
  }
  throw new Error('the group was ended by no limit');
}
