import type { Inexpressible } from './comfyui-sampling.js';
import { comfyUiSampling } from './comfyui-sampling.js';
import type { GenerationRequest } from './generation-request.js';
import { PICTURE_FORMATS } from './generation-request.js';
import type { PipelineFamily } from './pipeline-family.js';

/** Fields that take a picture or weights which are not there. */
const NOT_THERE = ['init_image', 'mask_image', 'controls', 'loras', 'ip_adapter', 'num_frames'] as const;

/** What our ComfyUI workflows cannot do of a request; empty: they stand for all of it. */
export function inexpressibleInComfyUi(request: GenerationRequest, family: PipelineFamily): readonly Inexpressible[] {
  const problems: Inexpressible[] = NOT_THERE.filter((field) => request[field] !== undefined).map((field) => ({
    field,
    value: request[field],
    message: 'models on ComfyUI draw from text only here',
    limit: { absent: true },
  }));
  if (request.exact) {
    const message = 'ComfyUI promises no bits';
    problems.push({ field: 'exact', value: true, message, limit: [false] });
  }
  if (request.true_cfg_scale !== undefined && family !== 'flux') {
    const message = `a ${family} workflow has no guidance but guidance_scale`;
    problems.push({ field: 'true_cfg_scale', value: request.true_cfg_scale, message, limit: { absent: true } });
  }
  if (request.output_format === 'mp4') {
    const message = 'models on ComfyUI make pictures here, not videos';
    problems.push({ field: 'output_format', value: 'mp4', message, limit: PICTURE_FORMATS });
  }
  const found = comfyUiSampling(family, request.scheduler, request.scheduler_options);
  return 'problem' in found ? [...problems, found.problem] : problems;
}
