import type { SqlRunner } from '../sql/sql-runner.js';
import type { Migration } from './migration.js';
import { SchemaTooNewError } from './schema-too-new.error.js';

/** Brings the schema up to date, each step in a transaction of its own: a crash leaves a whole version behind. */
export async function migrate(runner: SqlRunner, migrations: readonly Migration[]): Promise<void> {
  const [, versions = []] = (
    await runner.run([
      {
        sql: 'CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, name text NOT NULL)',
        params: [],
      },
      { sql: 'SELECT max(version) AS version FROM schema_version', params: [] },
    ])
  ).rows;
  const found = Number(versions[0]?.version ?? 0);
  const known = migrations.length;
  if (found > known) throw new SchemaTooNewError(found, known);

  for (const { version, name, statements } of migrations.slice(found)) {
    await runner.run([
      ...statements.map((sql) => ({ sql, params: [] })),
      { sql: 'INSERT INTO schema_version (version, name) VALUES ($1, $2)', params: [version, name] },
    ]);
  }
}
