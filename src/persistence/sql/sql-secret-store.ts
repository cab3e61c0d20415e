import { SecretStore } from '../../jobs/ports/secret-store.port.js';
import type { SqlRunner } from './sql-runner.js';

export class SqlSecretStore extends SecretStore {
  constructor(private readonly runner: SqlRunner) {
    super();
  }

  async obtain(name: string, fresh: string): Promise<string> {
    const { rows } = await this.runner.run([
      {
        sql: 'INSERT INTO shared_secret (name, secret) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING',
        params: [name, fresh],
      },
      { sql: 'SELECT secret FROM shared_secret WHERE name = $1', params: [name] },
    ]);
    return rows[1]?.[0]?.secret as string;
  }
}
