import type { ModelFootprint } from '../../domain/placement/footprint.js';

/** What was learned about the memory models take. Shared by all nodes; a hint, so the last writer wins. */
export abstract class FootprintStore {
  abstract all(): Promise<readonly ModelFootprint[]>;
  abstract save(footprint: ModelFootprint, now: number): Promise<void>;
}
