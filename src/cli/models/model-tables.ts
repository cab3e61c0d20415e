import { familyOfClass } from '../../domain/generation/pipeline-family.js';
import { formatBytes } from '../format-duration.js';
import { renderTable } from '../table.js';
import type { ServedModel } from './served-models.js';
import type { ComponentFacts, ModelFacts } from './model-event.js';

const NONE = '–';

/** Models one a line, and below them what is wrong with those that are not there. */
export function modelTable(models: readonly ServedModel[], found: readonly ModelFacts[]): string {
  const rows = found.map((facts) => {
    const model = models.find(({ id }) => id === facts.id);
    return [
      facts.id,
      model?.family ?? (facts.pipeline_class === null ? NONE : familyOfClass(facts.pipeline_class)),
      facts.kind?.replace('_', ' ') ?? NONE,
      facts.pipeline_class ?? NONE,
      model?.dtype ?? 'auto',
      facts.bytes === null ? NONE : formatBytes(facts.bytes),
      facts.present ? 'present' : 'missing',
    ];
  });
  const table = renderTable([['ID', 'FAMILY', 'SOURCE', 'CLASS', 'DTYPE', 'WEIGHTS', 'STATE'], ...rows]);
  const reasons = found.flatMap(({ id, problems }) => problems.map((problem) => `${id}: ${problem}`));
  return reasons.length === 0 ? table : `${table}\n\n${reasons.join('\n')}`;
}

/** What the headers of a model's weights say, and what stands against loading it. */
export function modelCheck(facts: ModelFacts): string {
  const verdict = facts.problems.length === 0 ? 'ok' : 'fail';
  const size = facts.bytes === null ? '' : `, ${formatBytes(facts.bytes)}`;
  const head = `${verdict.padEnd(4)}  ${facts.id}  ${facts.pipeline_class ?? 'not found'}${size} at ${facts.source}`;
  const components = facts.components.map((each) => [`      ${each.name}`, each.class ?? NONE, dtypesOf(each)]);
  return [
    head,
    ...(components.length === 0 ? [] : [renderTable(components)]),
    ...facts.problems.map((problem) => `      → ${problem}`),
  ].join('\n');
}

function dtypesOf({ dtypes, files }: ComponentFacts): string {
  const shares = Object.entries(dtypes).map(([dtype, bytes]) => `${formatBytes(bytes)} ${dtype}`);
  return `${shares.join(', ')} in ${files} ${files === 1 ? 'file' : 'files'}`;
}
