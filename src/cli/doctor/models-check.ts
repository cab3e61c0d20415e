import { existsSync } from 'node:fs';

import { isHubId } from '../../config/model-source.js';
import { EMBEDDED_MODEL_ID } from '../../config/models.config.js';
import type { Settings } from '../../config/settings.js';
import { CliError } from '../cli-error.js';
import { formatBytes } from '../format-duration.js';
import type { ModelFacts } from '../models/model-event.js';
import { modelEvents } from '../models/models-process.js';
import type { ServedModel } from '../models/served-models.js';
import { servedModels } from '../models/served-models.js';
import type { Finding } from './finding.js';
import { fail, ok, warn } from './finding.js';

/** Importing diffusers from a cold disk takes most of it; of each weight file only the header is read. */
const LOOK_TIMEOUT_MS = 120_000;

/** Whether every model that is to be served lies where it should, and its files are what they should be. */
export async function checkModels(settings: Settings): Promise<Finding[]> {
  const models = servedModels(settings);
  const { found, reason } = await lookInto(settings, models);
  return models.map((model) => {
    const missing = missingAddOns(settings, model.id);
    const facts = found.get(model.id);
    const problems = [...(facts === undefined ? missingFiles(model) : facts.problems), ...missing];
    if (problems.length > 0) return fail(areaOf(model), `${model.source}: ${problems.join('; ')}`, mendOf(model));
    return facts === undefined
      ? warn(areaOf(model), `${model.source} was not looked at: ${reason}`, 'mend what is said of Python')
      : ok(areaOf(model), `${facts.pipeline_class}, ${formatBytes(facts.bytes ?? 0)} at ${model.source}`);
  });
}

/** Headers of the weights, as the worker's Python reads them; and why it told of no more models. */
async function lookInto(
  settings: Settings,
  models: readonly ServedModel[],
): Promise<{ found: ReadonlyMap<string, ModelFacts>; reason: string }> {
  const found = new Map<string, ModelFacts>();
  const call = { args: ['check'], input: models, signal: AbortSignal.timeout(LOOK_TIMEOUT_MS) };
  try {
    for await (const event of modelEvents(settings, call)) if (event.event === 'model') found.set(event.id, event);
    return { found, reason: `no answer within ${LOOK_TIMEOUT_MS / 1000} s` };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return { found, reason: error.message };
  }
}

/** What can be told without Python. */
function missingFiles({ source, config }: ServedModel): string[] {
  const paths = [...(isHubId(source) ? [] : [source]), ...(config === null ? [] : [config])];
  return paths.filter((path) => !existsSync(path)).map((path) => `there is no ${path}`);
}

function missingAddOns({ models }: Settings, id: string): string[] {
  const entry = models.entries.find((each) => each.id === id);
  if (entry === undefined) return [];
  return [...entry.loras, ...entry.controlnets, ...entry.ipAdapters]
    .filter(({ source }) => !existsSync(source))
    .map((addOn) => `there is no ${addOn.source}, which it lists as ${addOn.id}`);
}

const areaOf = ({ id }: ServedModel) => `model ${id}`;

function mendOf({ id, source }: ServedModel): string {
  if (id === EMBEDDED_MODEL_ID) return 'restore it from the repository, or set embedded_model: false';
  const correct = 'correct its entry in the settings';
  return isHubId(source)
    ? `fetch it with npm run safelight -- models pull ${source}, or ${correct}`
    : `copy the model again, or ${correct}`;
}
