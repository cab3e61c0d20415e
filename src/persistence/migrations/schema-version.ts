/** The schema both engines are brought to; the number of the last migration. */
export const SCHEMA_VERSION = 5;
