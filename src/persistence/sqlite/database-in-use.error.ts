/** Another process owns the database file. */
export class DatabaseInUseError extends Error {
  readonly path: string;

  constructor(path: string) {
    super(
      `another "safelight serve" uses this data folder: ${path} is locked. ` +
        'Stop that process, or give this one another folder with SAFELIGHT_DATA_DIR.',
    );
    this.name = 'DatabaseInUseError';
    this.path = path;
  }
}
