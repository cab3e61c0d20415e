/** What `python -m safelight_worker.models` tells, a JSON line each. */
export type ModelEvent =
  | ({ readonly event: 'model' } & ModelFacts)
  | ({ readonly event: 'progress'; readonly source: string } & PullProgress)
  | {
      readonly event: 'pulled';
      readonly source: string;
      readonly path: string;
      readonly files: number;
      readonly bytes: number;
    }
  | { readonly event: 'error'; readonly source: string; readonly message: string; readonly next: string };

export interface ModelFacts {
  readonly id: string;
  readonly source: string;
  /** Null: it was not found. */
  readonly kind: 'folder' | 'single_file' | 'hub' | null;
  readonly pipeline_class: string | null;
  readonly present: boolean;
  /** Of the weight files on disk; null when it is not there. */
  readonly bytes: number | null;
  /** Empty for a list. */
  readonly components: readonly ComponentFacts[];
  readonly problems: readonly string[];
}

export interface ComponentFacts {
  readonly name: string;
  /** Null for a file of all components. */
  readonly class: string | null;
  readonly files: number;
  readonly bytes: number;
  /** Bytes by type on disk. */
  readonly dtypes: Readonly<Record<string, number>>;
}

export interface PullProgress {
  readonly file: string;
  /** Bytes that are there, of all files together. */
  readonly done: number;
  readonly total: number;
}
