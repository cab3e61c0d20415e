/** One step of the schema. Forward only: what was released is never edited, only followed. */
export interface Migration {
  /** From 1, without gaps. */
  readonly version: number;
  readonly name: string;
  readonly statements: readonly string[];
}
