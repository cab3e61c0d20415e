import type { Counter, Histogram, Registry } from 'prom-client';

import type { Occurrence } from '../telemetry/occurrences.js';
import { counter, histogram } from './make-metric.js';

/** Counts checkpoints and webhook messages as they come and go. */
export class OccurrenceMetrics {
  private readonly checkpoints: Counter<'outcome'>;
  private readonly checkpointBytes: Counter;
  private readonly webhooks: Counter<'outcome'>;
  private readonly webhookSeconds: Histogram;

  constructor(registry: Registry) {
    this.checkpoints = counter(registry, 'safelight_checkpoints_total');
    this.checkpointBytes = counter(registry, 'safelight_checkpoint_bytes_total');
    this.webhooks = counter(registry, 'safelight_webhook_tries_total');
    this.webhookSeconds = histogram(registry, 'safelight_webhook_seconds');
    for (const outcome of ['kept', 'lost']) this.checkpoints.inc({ outcome }, 0);
    for (const outcome of ['delivered', 'failed', 'given_up']) this.webhooks.inc({ outcome }, 0);
  }

  count(occurrence: Occurrence): void {
    switch (occurrence.type) {
      case 'checkpoint':
        this.checkpoints.inc({ outcome: occurrence.outcome });
        if (occurrence.outcome === 'kept') this.checkpointBytes.inc(occurrence.bytes);
        return;
      case 'webhook':
        this.webhooks.inc({ outcome: occurrence.outcome });
        this.webhookSeconds.observe(occurrence.ms / 1000);
    }
  }
}
