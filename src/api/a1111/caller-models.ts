import { Injectable } from '@nestjs/common';

import type { Caller } from '../../domain/access/caller.js';
import type { ModelDescription } from '../../domain/generation/model-description.js';
import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';

/** Callers whose choice is kept, the latest of them; without keys every token makes one. */
const MAX_CALLERS = 1000;

/** Which model callers have chosen by `/sdapi/v1/options`. Kept in memory: a new start forgets it. */
@Injectable()
export class CallerModels {
  private readonly chosen = new Map<string, string>();

  constructor(private readonly models: ModelCatalog) {}

  /** The one a request of the caller gets that names none. */
  modelOf({ client }: Caller): ModelDescription {
    return this.models.find(this.chosen.get(client) ?? '') ?? this.models.default();
  }

  choose({ client }: Caller, model: ModelDescription): void {
    this.chosen.delete(client);
    this.chosen.set(client, model.id);
    const [longestAgo] = this.chosen.keys();
    if (this.chosen.size > MAX_CALLERS && longestAgo !== undefined) this.chosen.delete(longestAgo);
  }
}
