/** The database was made by a later Safelight; this one must not write to a schema it does not know. */
export class SchemaTooNewError extends Error {
  readonly found: number;
  readonly known: number;

  constructor(found: number, known: number) {
    super(
      `the database has schema ${found}, made by a newer Safelight; this one knows schemas up to ${known}. ` +
        'Start the newer version, or give this one another data folder.',
    );
    this.name = 'SchemaTooNewError';
    this.found = found;
    this.known = known;
  }
}
