import type { ModelDescription } from '../../domain/generation/model-description.js';

/** The models this server was told to serve. Fixed after start. */
export abstract class ModelCatalog {
  abstract list(): readonly ModelDescription[];
  /** By its id or one of its aliases. */
  abstract find(name: string): ModelDescription | null;
  /** The one a request without `model` gets. */
  abstract default(): ModelDescription;
}
