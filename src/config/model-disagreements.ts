import type { Complaint } from './kinds.js';
import type { ModelEntry } from './model-entry.js';
import { repeatedIds } from './record-kind.js';

/**
 * Those of which there are ComfyUI workflows. The domain has the same list; a test compares the two, because this folder
 * imports nothing.
 */
export const COMFYUI_FAMILIES: readonly string[] = ['sd15', 'sdxl', 'flux'];

/** Fields that workers alone can follow. */
const WORKERS_ONLY = ['config', 'quantization', 'loras', 'controlnets', 'memory', 'pinned', 'compile'] as const;

/** What is wrong between values that are right by themselves. */
export function disagreements(entries: readonly ModelEntry[]): Complaint[] {
  return [
    ...repeatedIds(entries, 'an id that no other model has'),
    ...repeatedAliases(entries),
    ...entries.flatMap(betweenFields(entries)),
  ];
}

/** Complaint about each alias that is an id, or an alias of an earlier place. */
function repeatedAliases(entries: readonly ModelEntry[]): Complaint[] {
  const taken = new Set(entries.map(({ id }) => id));
  return entries.flatMap(({ aliases }, index) =>
    aliases.flatMap((alias, place) => {
      if (!taken.has(alias)) {
        taken.add(alias);
        return [];
      }
      return [{ at: [index, 'aliases', place], value: alias, allowed: 'a name that no model has as its id or alias' }];
    }),
  );
}

const betweenFields = (entries: readonly ModelEntry[]) => (entry: ModelEntry, index: number) => {
  const complaints: Complaint[] = [];
  if (entry.default && entries.slice(0, index).some((other) => other.default))
    complaints.push({ at: [index, 'default'], value: true, allowed: 'true for one model only' });
  if (entry.source === null) return [...complaints, ...withoutSource(entry, index)];
  const isFile = entry.source.endsWith('.safetensors');
  if (isFile && entry.config === null)
    complaints.push({ at: [index, 'source'], value: entry.source, allowed: 'a single file together with its config' });
  if (!isFile && entry.config !== null)
    complaints.push({ at: [index, 'config'], value: entry.config, allowed: 'a folder that describes a single file' });
  return complaints;
};

/** What only workers could do with a model makes no sense where only ComfyUI has it. */
function withoutSource(entry: ModelEntry, index: number): Complaint[] {
  if (entry.family === null || !COMFYUI_FAMILIES.includes(entry.family)) {
    const allowed = `one of ${COMFYUI_FAMILIES.join(', ')} where only ComfyUI has the model`;
    return [{ at: [index, 'family'], value: entry.family, allowed }];
  }
  const set = WORKERS_ONLY.filter((key) => isSet(entry[key]));
  return set.map((key) => ({ at: [index, key], value: entry[key], allowed: 'a model with source' }));
}

function isSet(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== null && value !== false;
}
