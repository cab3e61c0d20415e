export type SqlValue = string | number | null;
export type Row = Readonly<Record<string, SqlValue>>;

/** Stands for a column of the row a repeated statement runs for. */
export interface RowColumn {
  readonly column: string;
}

/** One SQL statement with `$1`-style placeholders, in words that SQLite and PostgreSQL both understand. */
export interface Statement {
  readonly sql: string;
  readonly params: readonly (SqlValue | RowColumn)[];
  /**
   * Runs the statement once for each row that this earlier statement of the group returned. A guarded write that returns
   * nothing thereby silences all that hangs on it.
   */
  readonly forEachRowOf?: number;
  /** Ends the group here, with nothing written, when the statement returns a row. */
  readonly stopIfRows?: boolean;
}

/**
 * Statements that happen together or not at all. They are fixed before they are sent: no answer comes back half-way, so
 * many groups can share one commit and none waits for a caller.
 */
export type StatementGroup = readonly Statement[];

export interface GroupResult {
  /** Rows of each statement, in order; statements behind a stop are missing. */
  readonly rows: readonly (readonly Row[])[];
  /** Statement that ended the group; null when it ran to its end. */
  readonly stoppedAt: number | null;
}

/** Runs groups; those that are given without waiting for each other may run in any order. */
export interface SqlRunner {
  /** Resolves when the group is durable. */
  run(group: StatementGroup): Promise<GroupResult>;
  /** The same for statements that only read: all of them see one moment. */
  read(group: StatementGroup): Promise<GroupResult>;
  /** Waits for the groups given so far. Safe to call twice. */
  close(): Promise<void>;
}

export function column(name: string): RowColumn {
  return { column: name };
}
