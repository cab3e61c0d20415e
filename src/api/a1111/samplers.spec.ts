import { modelDescription } from '../../../test/support/api.js';
import { schedulersFor } from '../../domain/generation/noise-scheduler.js';
import { namesOf, resolveSampler, samplersOf, SCHEDULES } from './samplers.js';

const MODEL = modelDescription();
const FLUX = modelDescription({
  id: 'flux',
  schedulers: schedulersFor(true),
  defaults: { ...MODEL.defaults, scheduler: 'FlowMatchEulerDiscreteScheduler', scheduler_options: {} },
});

describe('a sampler of AUTOMATIC1111', () => {
  it.each([
    ['DPM++ 2M Karras', undefined, 'DPMSolverMultistepScheduler', { use_karras_sigmas: true }],
    ['DPM++ 2M', 'Karras', 'DPMSolverMultistepScheduler', { use_karras_sigmas: true }],
    ['DPM++ 2M', 'Automatic', 'DPMSolverMultistepScheduler', { use_karras_sigmas: true }],
    ['DPM++ 2M', 'uniform', 'DPMSolverMultistepScheduler', { use_karras_sigmas: false, use_exponential_sigmas: false }],
    [
      'dpm++ 2m sde',
      undefined,
      'DPMSolverMultistepScheduler',
      { algorithm_type: 'sde-dpmsolver++', use_karras_sigmas: false, use_exponential_sigmas: true },
    ],
    [
      'DPM++ 2M SGM Uniform',
      undefined,
      'DPMSolverMultistepScheduler',
      { use_karras_sigmas: false, use_exponential_sigmas: false, timestep_spacing: 'trailing' },
    ],
    ['k_euler_a', '', 'EulerAncestralDiscreteScheduler', {}],
    ['Euler', undefined, 'EulerDiscreteScheduler', { use_karras_sigmas: false, use_exponential_sigmas: false }],
    ['HeunDiscreteScheduler', undefined, 'HeunDiscreteScheduler', {}],
    [undefined, 'karras', 'DPMSolverMultistepScheduler', { use_karras_sigmas: true }],
  ])('%s with the schedule %s is %s', (sampler, schedule, scheduler, options) => {
    expect(resolveSampler(sampler, schedule, MODEL)).toEqual({
      ok: true,
      chosen: { scheduler, scheduler_options: options },
    });
  });

  it('is the model’s own when none is named', () => {
    expect(resolveSampler(undefined, undefined, MODEL)).toEqual({ ok: true, chosen: null });
    expect(resolveSampler('', 'automatic', MODEL)).toEqual({ ok: true, chosen: null });
  });

  it('means flow matching to a model that does that', () => {
    const chosen = { scheduler: 'FlowMatchEulerDiscreteScheduler', scheduler_options: {} };
    expect(resolveSampler('Euler', 'Simple', FLUX)).toEqual({ ok: true, chosen });
    expect(resolveSampler('Euler a', undefined, FLUX)).toMatchObject({ ok: false, problem: { limit: ['Euler'] } });
  });

  it.each([
    ['DPM++ 4M', undefined, 'sampler_name'],
    ['DPM++ 4M Karras', undefined, 'sampler_name'],
    ['FlowMatchEulerDiscreteScheduler', 'karras', 'sampler_name'],
    ['Euler a', 'Karras', 'scheduler'],
    ['DPM++ 2M', 'align_your_steps', 'scheduler'],
  ])('is refused as %s with %s, naming %s and what is possible', (sampler, schedule, field) => {
    const refused = resolveSampler(sampler, schedule, MODEL);
    expect(refused).toMatchObject({ ok: false, problem: { field } });
    expect(refused).not.toMatchObject({ problem: { limit: [] } });
  });

  it('is told by names that read back to the same', () => {
    for (const { name } of samplersOf([MODEL])) {
      for (const schedule of SCHEDULES) {
        const read = resolveSampler(name, schedule.name, MODEL);
        if (!read.ok || read.chosen === null) continue;
        const told = namesOf(read.chosen);
        expect(resolveSampler(told.sampler, told.schedule ?? undefined, MODEL)).toEqual(read);
      }
    }
  });
});
