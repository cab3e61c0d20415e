import { BUSY_ABOVE } from '../../support/foreign-load.js';
import type { Machine } from '../../support/machine.js';
import type { Table } from '../report.js';
import { termsLine, withWhat } from '../report.js';
import type { CheckName } from '../validity.js';
import type { LivenessFigures } from './full-load.js';
import type { LoneJobFigures } from './lone-job.js';
import type { GatesReport } from './run-gates.js';

/** What the full load is by design: more requests than may be open at a time. */
const MEANT = new Set<CheckName>(['coordinatedOmission', 'tooFewSamples']);

/** The gates with their figures, as text. */
export function gatesText(report: GatesReport, machine: Machine, table: Table): string {
  const { gates, lone, fullLoad, busiest } = report;
  const { figures, pictures, validity } = fullLoad.experiment;
  const warnings = validity.warnings.filter(({ check }) => !MEANT.has(check)).map(({ text }) => text);
  return [
    table(
      ['gate', 'measured', 'bound', 'verdict'],
      gates.map(({ title, value, bound, isMet }) => [title, value, bound, isMet ? 'met' : 'MISSED']),
    ),
    `A lone job, medians of ${lone.repeats} that took turns with the others, torch on ${lone.threads} threads:`,
    table(['', 'ms'], loneRows(lone)),
    `${lone.sameBits} of ${lone.repeats} lone pictures had the same bits as the bare call's.`,
    `Full load: ${termsLine(fullLoad.experiment.options)} ${figures.requestsPerSecond.toFixed(2)} requests/s, ${figures.imagesPerSecond.toFixed(2)} images/s; ${pictures.exact} exact pictures bit for bit, the others off by at most ${pictures.largestDifference} of 255 levels.`,
    table(
      ['/health/live, ms', 'probes', 'p50', 'p99', 'slowest', 'probe itself late, p99'],
      [liveRow('under full load', fullLoad.liveness), liveRow('beside 64 callers whose jobs draw nothing', busiest)],
    ),
    ...[...loneWarnings(lone), ...warnings].map((warning) => `**Not valid as it stands:** ${warning}`),
    withWhat(machine, fullLoad.experiment),
  ].join('\n\n');
}

function loneRows({ bare, bareEncode, served, parts, nothing, sync }: LoneJobFigures): string[][] {
  const row = (title: string, ms: number) => [title, ms.toFixed(2)];
  return [
    row("the bare pipeline's call", bare),
    row('encoding its picture as PNG', bareEncode),
    row('a served job, end to end', served),
    row('· request, row, claim, way to the worker', parts.before),
    row('· encode, prepare, denoise, decode', parts.drawing),
    row('· validate, save', parts.saving),
    row('· verify, move in, outcome, answer', parts.after),
    row('a served job that draws nothing', nothing),
    row('one sync of 4 KiB', sync),
  ];
}

function liveRow(title: string, { probes, p50, p99, slowest, ownLateP99 }: LivenessFigures): string[] {
  return [title, String(probes), ...[p50, p99, slowest, ownLateP99].map((value) => value.toFixed(1))];
}

function loneWarnings({ foreignProcessors }: LoneJobFigures): readonly string[] {
  if (foreignProcessors === null || foreignProcessors <= BUSY_ABOVE) return [];
  return [
    `The machine was busy with other work (${foreignProcessors.toFixed(2)} processors) during the lone jobs: these figures are not to be quoted.`,
  ];
}
