import { METHODS } from 'node:http';

import type { Gauge, Histogram, Registry } from 'prom-client';

import { gauge, histogram } from './make-metric.js';

/** A request that was answered, or went away. */
export interface AnsweredRequest {
  readonly method: string;
  /** Pattern of the route, such as `/v1/jobs/:id`; null: nothing is served there. */
  readonly route: string | null;
  readonly status: number;
  readonly ms: number;
}

/** Counts HTTP requests. Labels stay few: routes by their pattern, methods that exist. */
export class HttpMetrics {
  private readonly seconds: Histogram<'method' | 'route' | 'status'>;
  private readonly inFlight: Gauge;

  constructor(registry: Registry) {
    this.seconds = histogram(registry, 'safelight_http_request_seconds');
    this.inFlight = gauge(registry, 'safelight_http_requests_in_flight');
  }

  begin(): void {
    this.inFlight.inc();
  }

  end({ method, route, status, ms }: AnsweredRequest): void {
    this.inFlight.dec();
    const labels = {
      method: METHODS.includes(method) ? method : 'other',
      route: route ?? 'none',
      status: String(status),
    };
    this.seconds.observe(labels, ms / 1000);
  }
}
