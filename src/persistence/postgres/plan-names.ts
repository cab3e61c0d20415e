/** Texts that are planned once a connection, at some ten KB of the server each; beyond are filters of lists. */
const MOST_NAMES = 200;

/**
 * Names under which a connection of the server keeps a statement's plan. Planning is a quarter of a claim and a fifth of an
 * insertion. The server itself goes back to planning each time where that is the cheaper way.
 */
export class PlanNames {
  private readonly names = new Map<string, string>();

  /** Undefined: it is planned each time. */
  of(sql: string): string | undefined {
    const known = this.names.get(sql);
    if (known !== undefined || this.names.size >= MOST_NAMES) return known;
    const name = `safelight ${this.names.size + 1}`;
    this.names.set(sql, name);
    return name;
  }
}
