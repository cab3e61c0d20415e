import type { Machine } from '../support/machine.js';
import { machineLine } from '../support/machine.js';
import { quantile, rounded } from '../support/statistics.js';
import { snapshotText } from '../support/system-snapshot.js';
import { markdownTable } from '../support/table.js';
import type { StormOptions } from './options.js';
import type { Storms } from './run-storms.js';
import type { StormReport } from './storm.js';

const REDONE_GOAL = 1.2;

/** How many jobs a storm did something to that must never happen. */
export function broken({ verdict }: StormReport): number {
  return verdict.lost.length + verdict.stuck.length + verdict.duplicated.length + verdict.wrong.length;
}

/** The figures, as Markdown that reads as plain text too. */
export function stormText(storms: Storms, options: StormOptions, machine: Machine): string {
  const { reports } = storms;
  const head = ['', ...reports.map(({ nodes }) => (nodes === 1 ? 'one node, embedded' : 'three nodes, PostgreSQL'))];
  const row = (title: string, cell: (report: StormReport) => string | number) => [
    title,
    ...reports.map((report) => String(cell(report))),
  ];
  const rows = [
    row('jobs accepted', ({ verdict }) => verdict.accepted),
    row('succeeded', ({ verdict }) => verdict.succeeded),
    row('cancelled as asked', ({ verdict }) => verdict.cancelledAsAsked),
    row('besides, hung up on', ({ verdict }) => listOf(verdict.hungUpOn)),
    row('failed, with their record', ({ verdict }) => listOf(verdict.failed)),
    row('**lost**', ({ verdict }) => verdict.lost.length),
    row('**duplicated**', ({ verdict }) => verdict.duplicated.length),
    row('**wrong picture**', ({ verdict }) => verdict.wrong.length),
    row('**stuck**', ({ verdict }) => verdict.stuck.length),
    row('exact pictures, bit for bit', ({ verdict }) => verdict.exactPictures),
    row('other pictures; most levels off', ({ verdict }) => `${verdict.otherPictures}; ${verdict.largestDifference}`),
    row('succeeded on a lower rung', ({ verdict }) => verdict.degraded),
    row(`steps taken over needed (goal ≤ ${REDONE_GOAL})`, ({ redone }) => rounded(redone, 3)),
    row('pictures/s, calm', ({ goodputCalm }) => rounded(goodputCalm, 2)),
    row('pictures/s, storm', ({ goodputStorm }) => rounded(goodputStorm, 2)),
    row('faults thrown', ({ recoveries }) => recoveries.length),
    row('answers of status 500', ({ serverErrors }) => serverErrors),
    row('left over', ({ leftovers }) => listOf(leftovers)),
    row('seconds', ({ seconds }) => Math.round(seconds)),
  ];
  const system = reports[0]?.system;
  return [
    `Seed ${options.seed}, a fault every ${options.faultEveryMs / 1000} s on average.`,
    '',
    markdownTable(head, rows),
    '',
    ...reports.flatMap((report) => [recoveryTable(report), '', `Attempts: ${listOf(report.attempts)}.`, '']),
    ...storms.skipped.map((reason) => `Not tried: ${reason}.`),
    ...reports.flatMap(({ nodes, impossible }) =>
      Object.entries(impossible).map(([name, reason]) => `Not thrown at ${nodes} node(s): ${name} (${reason}).`),
    ),
    machineLine(machine),
    ...(system === undefined ? [] : ['', snapshotText(system)]),
  ]
    .join('\n')
    .replaceAll(/\n{3,}/g, '\n\n');
}

function recoveryTable({ nodes, recoveries }: StormReport): string {
  const byName = Object.groupBy(recoveries, ({ name }) => name);
  const rows = Object.entries(byName).map(([name, some]) => {
    const times = some.flatMap(({ recoveredAfterMs }) => (recoveredAfterMs === null ? [] : [recoveredAfterMs / 1000]));
    const told = times.length === 0 ? ['–', '–'] : [quantile(times, 0.5), Math.max(...times)].map((s) => s.toFixed(1));
    return [name, String(some.length), ...told, String(some.length - times.length)];
  });
  const title = nodes === 1 ? 'fault, one node' : 'fault, three nodes';
  return markdownTable([title, 'times', 'next success: median s', 'slowest s', 'none followed'], rows);
}

function listOf(counts: object): string {
  const told = Object.entries(counts as Record<string, number>).filter(([, count]) => count > 0);
  return told.length === 0 ? '0' : told.map(([name, count]) => `${name} ${count}`).join(', ');
}
