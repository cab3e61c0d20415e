import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

type ServingStatus = 'SERVING' | 'NOT_SERVING';

/** How often readiness is looked at, in milliseconds: nobody tells of it, and probes come every few seconds. */
const LOOK_EVERY_MS = 1_000;

const JOBS = 'safelight.v1.JobService';

/**
 * `grpc.health.v1`, for probes and balancers. The empty name and the catalog: this process answers. `safelight.v1.JobService`:
 * it takes jobs and a worker would run them now, as `GET /health/ready` has it.
 */
export class Health {
  private readonly health: HealthImplementation;
  private readonly timer: NodeJS.Timeout;
  private told: ServingStatus;

  constructor(private readonly isReady: () => boolean) {
    this.told = this.look();
    this.health = new HealthImplementation({
      '': 'SERVING',
      'safelight.v1.CatalogService': 'SERVING',
      [JOBS]: this.told,
    });
    this.timer = setInterval(() => this.refresh(), LOOK_EVERY_MS).unref();
  }

  addTo(server: Server): void {
    this.health.addToServer(server);
  }

  /** Tells whoever watches that the server goes. Safe to call twice. */
  stop(): void {
    clearInterval(this.timer);
    for (const name of ['', 'safelight.v1.CatalogService', JOBS]) this.health.setStatus(name, 'NOT_SERVING');
  }

  private refresh(): void {
    const now = this.look();
    if (now === this.told) return;
    this.told = now;
    this.health.setStatus(JOBS, now);
  }

  private look(): ServingStatus {
    return this.isReady() ? 'SERVING' : 'NOT_SERVING';
  }
}
