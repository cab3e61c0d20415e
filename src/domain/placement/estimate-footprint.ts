import type { ModelDescription } from '../generation/model-description.js';
import type { PipelineFamily } from '../generation/pipeline-family.js';
import type { DeviceKind } from './device.js';
import type { ModelFootprint } from './footprint.js';

/** Elements that are alive at the worst moment of a forward, per pixel of the picture and row. */
interface Elements {
  readonly denoise: number;
  readonly decode: number;
}

/**
 * By family, for the networks their models share: the formulas of the worker (`safelight_worker/memory/estimates.py`, which
 * names its measurements) worked out for SD 1.5, SDXL, SD 3.5 large and Flux. Others are taken to be as large as the largest.
 */
const ELEMENTS: Record<PipelineFamily, Elements> = {
  sd15: { denoise: 130, decode: 1024 },
  sdxl: { denoise: 80, decode: 1024 },
  sd3: { denoise: 152, decode: 1024 },
  flux: { denoise: 216, decode: 1024 },
  other: { denoise: 216, decode: 1024 },
};

/** What a model takes before a worker has measured it; null: its files do not tell its size. */
export function estimateFootprint(
  { id, family, dtype, components }: ModelDescription,
  deviceKind: DeviceKind,
): ModelFootprint | null {
  const known = Object.entries(components).filter((part): part is [string, number] => part[1] !== null);
  if (known.length === 0) return null;
  // What the worker takes when nothing is said.
  const used = dtype ?? (deviceKind === 'cpu' ? 'float32' : 'float16');
  const bytes = used === 'float32' ? 4 : 2;
  const { denoise, decode } = ELEMENTS[family];
  return {
    model: id,
    deviceKind,
    dtype: used,
    weightsBytes: known.reduce((sum, [, size]) => sum + size, 0),
    components: Object.fromEntries(known),
    phases: [
      { phase: 'denoise', fixedBytes: 0, bytesPerPixel: denoise * bytes, measured: false },
      { phase: 'decode', fixedBytes: 0, bytesPerPixel: decode * bytes, measured: false },
    ],
    overruns: [],
  };
}
