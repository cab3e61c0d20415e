import { newJob } from '../../../test/support/jobs.js';
import { inexpressibleInComfyUi } from './comfyui-request.js';
import { comfyUiSampling, comfyUiSchedulers } from './comfyui-sampling.js';
import type { GenerationRequest, SchedulerOptions } from './generation-request.js';
import { NOISE_SCHEDULERS } from './noise-scheduler.js';
import { FAMILY_PROFILES } from './pipeline-family.js';

describe('the ComfyUI sampling of a noise scheduler', () => {
  it.each<[string, SchedulerOptions, string, string]>([
    ['EulerDiscreteScheduler', {}, 'euler', 'normal'],
    ['EulerDiscreteScheduler', { use_karras_sigmas: true }, 'euler', 'karras'],
    ['EulerDiscreteScheduler', { use_exponential_sigmas: true }, 'euler', 'exponential'],
    ['EulerDiscreteScheduler', { timestep_spacing: 'trailing' }, 'euler', 'sgm_uniform'],
    ['EulerAncestralDiscreteScheduler', {}, 'euler_ancestral', 'normal'],
    ['DPMSolverMultistepScheduler', { use_karras_sigmas: true }, 'dpmpp_2m', 'karras'],
    [
      'DPMSolverMultistepScheduler',
      { algorithm_type: 'sde-dpmsolver++', use_karras_sigmas: false },
      'dpmpp_2m_sde',
      'normal',
    ],
    ['UniPCMultistepScheduler', { solver_type: 'bh1' }, 'uni_pc', 'normal'],
    ['DDIMScheduler', {}, 'ddim', 'ddim_uniform'],
    ['LCMScheduler', {}, 'lcm', 'sgm_uniform'],
  ])('%s %j is %s, %s', (scheduler, options, sampler, schedule) => {
    expect(comfyUiSampling('sd15', scheduler, options)).toEqual({ sampling: { sampler, schedule } });
  });

  it('has a counterpart of every family default', () => {
    for (const family of ['sd15', 'sdxl', 'flux'] as const) {
      const { scheduler, scheduler_options: options } = FAMILY_PROFILES[family].defaults;
      expect(comfyUiSampling(family, scheduler, options)).toHaveProperty('sampling');
    }
  });

  it('names only noise schedulers that requests can name', () => {
    for (const family of ['sd15', 'flux'] as const)
      expect(comfyUiSchedulers(family).filter((name) => !(name in NOISE_SCHEDULERS))).toEqual([]);
  });

  it.each<[string, SchedulerOptions, string]>([
    ['PNDMScheduler', {}, 'scheduler'],
    ['toString', {}, 'scheduler'],
    ['DPMSolverMultistepScheduler', { euler_at_final: true }, 'scheduler_options.euler_at_final'],
    ['DPMSolverMultistepScheduler', { algorithm_type: 'other' }, 'scheduler_options.algorithm_type'],
    [
      'EulerDiscreteScheduler',
      { use_karras_sigmas: true, timestep_spacing: 'leading' },
      'scheduler_options.timestep_spacing',
    ],
    ['LCMScheduler', { timestep_spacing: 'leading' }, 'scheduler_options.timestep_spacing'],
  ])('%s %j is nothing there, because of %s', (scheduler, options, field) => {
    expect(comfyUiSampling('sd15', scheduler, options)).toMatchObject({ problem: { field } });
  });
});

describe('what ComfyUI cannot do of a request', () => {
  const request = (changes: Partial<GenerationRequest>): GenerationRequest => ({
    ...newJob().request,
    ...{ scheduler: 'EulerDiscreteScheduler', scheduler_options: {}, output_format: 'png' },
    ...changes,
  });
  const fields = (changes: Partial<GenerationRequest>) =>
    inexpressibleInComfyUi(request(changes), 'sdxl').map(({ field }) => field);
  const picture = { sha256: 'a', bytes: 1, media_type: 'image/png', width: 1, height: 1 } as const;

  it('is nothing of plain text to image', () => {
    expect(fields({})).toEqual([]);
    expect(fields({ output_format: 'webp' })).toEqual([]);
  });

  it.each<[string, Partial<GenerationRequest>]>([
    ['exact', { exact: true }],
    ['init_image', { init_image: picture }],
    ['loras', { loras: [{ id: 'a', weight: 1 }] }],
    ['true_cfg_scale', { true_cfg_scale: 2 }],
    ['output_format', { output_format: 'mp4' }],
    ['scheduler', { scheduler: 'TCDScheduler' }],
  ])('names %s', (field, changes) => {
    expect(fields(changes)).toEqual([field]);
  });
});
