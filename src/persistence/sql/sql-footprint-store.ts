import type { ModelFootprint } from '../../domain/placement/footprint.js';
import { FootprintStore } from '../../jobs/ports/footprint-store.port.js';
import type { SqlRunner } from './sql-runner.js';

/** Footprints as rows, one a model and kind of device. */
export class SqlFootprintStore extends FootprintStore {
  constructor(private readonly runner: SqlRunner) {
    super();
  }

  async all(): Promise<readonly ModelFootprint[]> {
    const { rows } = await this.runner.run([
      { sql: 'SELECT body FROM footprint ORDER BY model, device_kind', params: [] },
    ]);
    return (rows[0] ?? []).map(({ body }) => JSON.parse(body as string) as ModelFootprint);
  }

  async save(footprint: ModelFootprint, now: number): Promise<void> {
    await this.runner.run([
      {
        sql: `INSERT INTO footprint (model, device_kind, body, updated_at) VALUES ($1, $2, $3, $4)
          ON CONFLICT (model, device_kind) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at`,
        params: [footprint.model, footprint.deviceKind, JSON.stringify(footprint), now],
      },
    ]);
  }
}
