import type { Machine } from '../support/machine.js';
import { machineLine } from '../support/machine.js';
import { rounded } from '../support/statistics.js';
import { snapshotText } from '../support/system-snapshot.js';
import type { Arrivals } from './arrivals.js';
import type { ExperimentReport } from './experiment.js';
import type { Percentiles } from './figures.js';
import type { LoadOptions } from './options.js';
import type { Validity } from './validity.js';

/** How tables are drawn: Markdown or plain. */
export type Table = (head: readonly string[], rows: readonly (readonly string[])[]) => string;

const MS_HEAD = ['ms', 'p50', 'p95', 'p99'];

/** One experiment, as text. */
export function experimentText(report: ExperimentReport, machine: Machine, table: Table): string {
  const { options, figures, pictures } = report;
  const { refused, failed } = figures;
  return [
    termsLine(options),
    table(
      ['', 'value'],
      [
        ['requests', String(figures.requests)],
        ['succeeded', String(figures.succeeded)],
        ['refused with 429', listOf(refused)],
        ['failed', listOf(failed)],
        ['wrong pictures', `${pictures.wrong} of ${pictures.compared}`],
        ['exact pictures, bit for bit', String(pictures.exact)],
        ['other pictures, most levels off', String(pictures.largestDifference)],
        ['requests/s', figures.requestsPerSecond.toFixed(2)],
        ['images/s', figures.imagesPerSecond.toFixed(2)],
        ['seconds', figures.seconds.toFixed(1)],
        ['most open at a time', String(report.mostOpen)],
        ['sent after due, p99 ms', report.sentLateP99Ms.toFixed(1)],
      ],
    ),
    table(MS_HEAD, [
      times('end to end, from when due', figures.endToEnd),
      times('the same from when sent', figures.sinceSent),
      figures.queue === null ? ['in the queue', '–', '–', '–'] : times('in the queue', figures.queue),
      ...figures.entries.map(({ name, succeeded, endToEnd }) => times(`${name} (${succeeded})`, endToEnd)),
    ]),
    ...validityLines(report.validity),
    withWhat(machine, report),
  ].join('\n\n');
}

function validityLines({ warnings, unchecked }: Validity): readonly string[] {
  return [
    ...warnings.map(({ text }) => `**Not valid as it stands:** ${text}`),
    ...(unchecked.length === 0 ? [] : [`Not checked: ${unchecked.join('; ')}.`]),
  ];
}

/** Machine, load by others, and what the server says of itself. */
export function withWhat(machine: Machine, { system, foreignProcessors }: ExperimentReport): string {
  const others = foreignProcessors === null ? 'unknown' : String(rounded(foreignProcessors, 2));
  const told = system === null ? 'The server does not tell its versions to this key.' : snapshotText(system);
  return `${machineLine(machine)}, processors used by others ${others}\n\n${told}`;
}

export function termsLine({ dialect, arrivals, requests, concurrency, mix, seed }: LoadOptions): string {
  const open = concurrency === null ? '' : `, at most ${concurrency} open`;
  const told = mix.map(({ name, weight }) => `${name}:${weight}`).join(',');
  return `${requests} requests, ${dialect} dialect, ${arrivalsText(arrivals)}${open}, mix ${told}, seed ${seed}.`;
}

function arrivalsText(arrivals: Arrivals): string {
  if (arrivals.pattern === 'poisson') return `Poisson arrivals at ${arrivals.ratePerSecond} a second`;
  const pace = arrivals.ratePerSecond === null ? '' : ` at ${arrivals.ratePerSecond} a second`;
  return `bursts of ${arrivals.size}${pace}`;
}

function times(title: string, { p50, p95, p99 }: Percentiles): string[] {
  return [title, ...[p50, p95, p99].map((value) => value.toFixed(0))];
}

function listOf(counts: Readonly<Record<string, number>>): string {
  const told = Object.entries(counts).map(([name, count]) => `${name} ${count}`);
  return told.length === 0 ? '0' : told.join(', ');
}
