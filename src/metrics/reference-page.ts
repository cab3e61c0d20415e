import { METRICS } from './metric-table.js';

const HEAD = `# Metrics

<!-- Made from src/metrics/metric-table.ts by \`safelight docs --write\`; do not edit. -->

\`GET /metrics\` tells them in the text format of Prometheus, besides those of the process (\`safelight_process_…\`,
\`safelight_nodejs_…\`). Where keys are in use it takes one with the role \`monitor\` or \`operator\`.

What the first group tells is read from the database: nodes that share one tell the same, so take the maximum over them. All
else is a node's own, so take the sum. Counters begin at 0 when a node starts. Values of labels are words of the API or names
from the settings, so their number is bounded.
`;

/** The reference page of all metrics, from their declarations. */
export function metricsPage(): string {
  const rows = Object.entries(METRICS).map(([name, { type, help, labels }]) => {
    const labelled = labels.length === 0 ? '–' : labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${labelled} | ${help} |`;
  });
  return [HEAD, '| Metric | Type | Labels | Meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}
