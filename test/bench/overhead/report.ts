import { markdownTable } from '../support/table.js';
import type { Figures } from './figures.js';
import { MODERATE_RATE } from './figures.js';
import type { StoreKind } from './null-server.js';

interface Measure {
  readonly title: string;
  readonly of: (figures: Figures) => number;
  readonly decimals: number;
  /** Judged for the embedded store and PostgreSQL alike; null: told only. */
  readonly goal: { readonly bound: number; readonly is: '≤' | '≥' } | null;
}

const atMost = (bound: number) => ({ bound, is: '≤' as const });
const atLeast = (bound: number) => ({ bound, is: '≥' as const });

const MEASURES: readonly Measure[] = [
  { title: 'one caller who waits, p50 ms', of: ({ alone }) => alone.p50, decimals: 2, goal: atMost(1.5) },
  { title: 'one caller who waits, p99 ms', of: ({ alone }) => alone.p99, decimals: 2, goal: atMost(8) },
  { title: `${MODERATE_RATE} requests/s, p50 ms`, of: ({ atRate }) => atRate.p50, decimals: 2, goal: null },
  { title: `${MODERATE_RATE} requests/s, p99 ms`, of: ({ atRate }) => atRate.p99, decimals: 2, goal: null },
  { title: 'submit, then stream to the end, p50 ms', of: ({ streamed }) => streamed.p50, decimals: 2, goal: null },
  { title: 'submit, then stream to the end, p99 ms', of: ({ streamed }) => streamed.p99, decimals: 2, goal: null },
  { title: 'jobs/s, 16 callers', of: ({ perSecond16 }) => perSecond16, decimals: 0, goal: null },
  { title: 'jobs/s, 64 callers', of: ({ perSecond64 }) => perSecond64, decimals: 0, goal: atLeast(1000) },
  { title: 'submit p99 ms, nothing queued', of: ({ emptyP99 }) => emptyP99, decimals: 2, goal: null },
  { title: 'submit p99 ms, many queued', of: ({ fullP99 }) => fullP99, decimals: 2, goal: null },
  { title: 'many queued over nothing', of: (all) => all.fullP99 / all.emptyP99, decimals: 2, goal: atMost(1.5) },
  { title: 'live heap KiB for each queued job', of: (all) => all.heapPerJob / 1024, decimals: 3, goal: atMost(4) },
  { title: 'resident KiB for each queued job', of: (all) => all.residentPerJob / 1024, decimals: 2, goal: null },
];

export function overheadText(figures: Partial<Record<StoreKind, Figures>>): string {
  const stores = Object.entries(figures) as [StoreKind, Figures][];
  const rows = MEASURES.map((measure) => [
    measure.title,
    ...stores.map(([, found]) => told(measure, measure.of(found))),
    measure.goal === null ? '' : `${measure.goal.is} ${measure.goal.bound}`,
  ]);
  return markdownTable(['', ...stores.map(([store]) => store), 'goal'], rows);
}

function told({ decimals, goal }: Measure, value: number): string {
  const text = value.toFixed(decimals);
  if (goal === null) return text;
  const isMet = goal.is === '≤' ? value <= goal.bound : value >= goal.bound;
  return isMet ? text : `${text} (missed)`;
}
