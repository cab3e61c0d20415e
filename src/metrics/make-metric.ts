import type { Registry } from 'prom-client';
import { Counter, Gauge, Histogram } from 'prom-client';

import type { LabelOf, MetricName, MetricOf } from './metric-table.js';
import { METRICS } from './metric-table.js';

/** Sets the values of a metric when it is asked for. */
export type Collect<M> = (metric: M) => void | Promise<void>;

interface Resettable {
  reset(): void;
  remove(): void;
}

/** What every kind of metric is made with. A collect that fails leaves the metric out of this answer and the others in. */
function common<N extends MetricName, M extends Resettable>(registry: Registry, name: N, collect?: Collect<M>) {
  const { help, labels } = METRICS[name];
  const made = { name, help, labelNames: [...labels] as LabelOf<N>[], registers: [registry] };
  if (collect === undefined) return made;
  return {
    ...made,
    async collect(this: unknown) {
      const metric = this as M;
      metric.reset();
      try {
        await collect(metric);
      } catch {
        metric.reset();
        // One without labels would tell 0.
        if (labels.length === 0) metric.remove();
      }
    },
  };
}

export function counter<N extends MetricOf<'counter'>>(
  registry: Registry,
  name: N,
  collect?: Collect<Counter<LabelOf<N>>>,
): Counter<LabelOf<N>> {
  return new Counter(common(registry, name, collect));
}

export function gauge<N extends MetricOf<'gauge'>>(
  registry: Registry,
  name: N,
  collect?: Collect<Gauge<LabelOf<N>>>,
): Gauge<LabelOf<N>> {
  return new Gauge(common(registry, name, collect));
}

export function histogram<N extends MetricOf<'histogram'>>(registry: Registry, name: N): Histogram<LabelOf<N>> {
  return new Histogram({ ...common(registry, name), buckets: [...METRICS[name].buckets] });
}
