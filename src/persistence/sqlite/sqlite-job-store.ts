import { migrate } from '../migrations/migrate.js';
import { SqlJobStore } from '../sql/sql-job-store.js';
import type { SqlRunner } from '../sql/sql-runner.js';
import { SQLITE_DIALECT } from './sqlite-dialect.js';
import { SqliteDriver } from './sqlite-driver.js';
import { SQLITE_MIGRATIONS } from './sqlite-migrations.js';

/** The embedded job store: one file in the data folder, owned by one process. */
export class SqliteJobStore extends SqlJobStore {
  /** Opens the file, or makes it in an existing folder. Throws DatabaseInUseError while another process has it open. */
  static async open({ path }: { path: string }): Promise<SqliteJobStore> {
    return SqliteJobStore.over(await SqliteDriver.open(path));
  }

  /** A store over an open database, which it owns from here on. */
  static async over(runner: SqlRunner): Promise<SqliteJobStore> {
    try {
      await migrate(runner, SQLITE_MIGRATIONS);
      return new SqliteJobStore({ runner, dialect: SQLITE_DIALECT, isShared: false });
    } catch (error) {
      await runner.close();
      throw error;
    }
  }
}
