import type { ModelDescription } from '../../../domain/generation/model-description.js';
import type { WorkerDescription } from '../../../domain/placement/worker-description.js';
import type { Model } from '../../../gen/safelight/v1/safelight.pb.js';
import { modelView } from '../../rest/model-view.js';

/** A model in the words of the wire, which are those of REST. */
export function modelMessage(model: ModelDescription, workers: readonly WorkerDescription[]): Model {
  const { ip_adapters: ipAdapters, ...view } = modelView(model, workers);
  return { ...view, ipAdapters, aliases: [...model.aliases] };
}
