import type { ModelDescription } from '../../domain/generation/model-description.js';

/** The models this server was told to serve. Fixed after start. */
export abstract class ModelCatalog {
  abstract list(): readonly ModelDescription[];
  abstract find(id: string): ModelDescription | null;
  /** The one a request without `model` gets. */
  abstract default(): ModelDescription;
}
