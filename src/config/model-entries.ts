import { comfyUiEntry } from './comfyui-entry.js';
import type { Kind } from './kinds.js';
import { accept, choice, flag, integer, path, refuse, text } from './kinds.js';
import { modelSource } from './model-source.js';
import { disagreements } from './model-disagreements.js';
import type { AddOnEntry, MemoryEntry, ModelEntry, QuantizationEntry } from './model-entry.js';
import { MODEL_DTYPES, MODEL_FAMILIES, QUANTIZATION_BACKENDS, RESIDENCIES, TILINGS } from './model-entry.js';
import type { RecordField } from './record-kind.js';
import { listOf, mapOf, recordField, recordOf, repeatedIds } from './record-kind.js';

const WEEK_MS = 604_800_000;
const id = text({
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
  allowed: '1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit',
});
const alias = text({
  pattern: /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/,
  allowed: '1 to 128 letters, digits, dots, dashes, slashes and underscores, beginning with a letter or digit',
});
const component = text({ pattern: /^[a-z][a-z0-9_]{0,63}$/, allowed: 'the name of a component, such as transformer' });
const COMPONENT_KEY = { pattern: /^[a-z][a-z0-9_]{0,63}$/, allowed: 'names of components, such as transformer,' };
const OPTION_KEY = { pattern: /^[A-Za-z][A-Za-z0-9_]{0,63}$/, allowed: 'names of options' };

const optionValue: Kind<boolean | number | string> = {
  allowed: 'a number, a text, true or false',
  fromText: String,
  read: (value) =>
    typeof value === 'boolean' || typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value))
      ? accept(value)
      : refuse(value, 'a number, a text, true or false'),
};

const ADD_ON = 'a map with id and source';

function addOns(what: string, where: string): Kind<readonly AddOnEntry[]> {
  const fields = {
    id: recordField(id, 'Name that requests use.'),
    source: recordField(path(where), 'Where it lies.'),
  };
  return listOf(recordOf<AddOnEntry>(fields, ADD_ON), `a list of ${what}, each with id and source`, (items) =>
    repeatedIds(items, `an id that no other of the ${what} has`),
  );
}

const quantization = recordOf<QuantizationEntry>(
  {
    backend: recordField(choice(QUANTIZATION_BACKENDS), 'Backend of diffusers.'),
    options: recordField(mapOf(OPTION_KEY, optionValue), "What the backend's config takes.", {}),
    components: recordField(listOf(component, 'a list of names of components'), 'What it is applied to.', []),
  },
  'a map with backend, and optionally options and components',
);

const memory = recordOf<MemoryEntry>(
  {
    residency: recordField(mapOf(COMPONENT_KEY, choice(RESIDENCIES)), 'Where weights lie.', {}),
    vae_slicing: recordField(flag(), 'Decode one picture at a time.', null),
    vae_tiling: recordField(choice(TILINGS), 'Decode in tiles.', null),
    attention_slicing: recordField(flag(), 'Attention in slices.', null),
  },
  'a map with residency, vae_slicing, vae_tiling and attention_slicing, all optional',
);

/** Fields of an entry. */
const ENTRY_FIELDS: Readonly<Record<string, RecordField>> = {
  id: recordField(id, 'Name that requests use.'),
  aliases: recordField(
    listOf(alias, 'a list of other names'),
    'Other names that requests may use for it, such as `dall-e-3` for clients that know no other. A name that is neither an id nor an alias is refused.',
    [],
  ),
  source: recordField(
    modelSource,
    'Where the model lies; relative paths count from the folder of the file. An id of a hub repository is looked for in the local cache only: `safelight models pull` fetches it. `owner/name` is taken for a folder if there is one. May be left out of a model that only ComfyUI has.',
    null,
  ),
  config: recordField(
    path('a folder in the diffusers layout'),
    'Folder that describes a single file: its `model_index.json`, configs and tokenizers.',
    null,
  ),
  family: recordField(choice(MODEL_FAMILIES), 'Architecture group; told by `model_index.json` when left out.', null),
  dtype: recordField(
    choice(MODEL_DTYPES),
    'Precision it runs in; the choice of the worker for its device when left out.',
    null,
  ),
  variant: recordField(
    text({ pattern: /^[A-Za-z0-9._-]+$/, allowed: 'the infix of the weight files, such as fp16' }),
    'Infix of the weight files, such as `fp16`; components that lack it are read from their plain files, and the log says which.',
    null,
  ),
  quantization: recordField(
    quantization,
    'Weights in fewer bits: a `backend` (bitsandbytes_4bit, bitsandbytes_8bit, torchao, gguf or quanto; its package must be installed where the worker runs), the `options` of its config in diffusers (torchao: `quant_type`, such as Int8WeightOnlyConfig; gguf: `file`, the .gguf file that replaces the denoiser), and the `components` it is applied to, the denoiser when left out.',
    null,
  ),
  compile: recordField(
    flag(),
    "Compile the denoiser's repeated blocks: faster steps for a slow first job, on a GPU.",
    false,
  ),
  channels_last: recordField(flag(), 'Convolutions in the layout that tensor cores prefer.', false),
  fuse_projections: recordField(flag(), 'Query, key and value in one matrix product.', false),
  loras: recordField(
    addOns('LoRAs', 'a .safetensors file'),
    'LoRAs that requests may name: `id`, and `source`, a .safetensors file.',
    [],
  ),
  controlnets: recordField(
    addOns('ControlNets', 'a folder in the diffusers layout'),
    'ControlNets that requests may name: `id`, and `source`, the folder of one.',
    [],
  ),
  ip_adapters: recordField(
    addOns('IP-Adapters', 'a .safetensors file'),
    'IP-Adapters that requests may name: `id`, and `source`, a .safetensors file.',
    [],
  ),
  pinned: recordField(flag(), 'Stays loaded, whatever else wants its memory.', false),
  keep_alive_ms: recordField(
    integer({ min: 0, max: WEEK_MS }),
    'Milliseconds it stays loaded after its last job; when left out, until its memory is wanted.',
    null,
  ),
  memory: recordField(
    memory,
    'Decisions about memory that are otherwise made for each job: `residency`, a map from components to resident, phase or group_offload; `vae_slicing`, `vae_tiling` (off, tiled or aggressive) and `attention_slicing`.',
    null,
  ),
  comfyui: recordField(
    comfyUiEntry,
    'How ComfyUI calls it, where `comfyui.url` is set: `checkpoint`, the name of a file of the whole model, or for Flux `unet`, `clip` (two text encoders, CLIP first) and `vae`, with `weight_dtype` (default, fp8_e4m3fn, fp8_e4m3fn_fast or fp8_e5m2). A `vae` beside a checkpoint replaces its own. `time_shift: false` for FLUX.1-schnell, which was trained without. With `source`, ComfyUI draws what no worker can; without, all of it: then `family` is sd15, sdxl or flux, and `defaults` may have `width`, `height`, `num_inference_steps`, `guidance_scale` and `scheduler`.',
    null,
  ),
  default: recordField(
    flag(),
    'Serve requests that name no model. At most one; without one it is the first of the list, or else the embedded model.',
    false,
  ),
};

const ENTRY = 'a model with id and source';

/** For the reference page. */
export const MODEL_ENTRY_FIELDS: Readonly<Record<string, { kind: Kind<unknown>; meaning: string; fallback: unknown }>> =
  ENTRY_FIELDS;

const fields = recordOf<ModelEntry>(ENTRY_FIELDS, ENTRY);

const modelEntry: Kind<ModelEntry> = {
  ...fields,
  read: (value, baseDir) => {
    const reading = fields.read(value, baseDir);
    const isNowhere = reading.ok && reading.value.source === null && reading.value.comfyui === null;
    return isNowhere ? refuse(value, `${ENTRY}; source is missing`) : reading;
  },
};

export const modelEntries: Kind<readonly ModelEntry[]> = listOf(
  modelEntry,
  'a list of models, each with id and source',
  disagreements,
);
