import type { ModelDescription } from '../../domain/generation/model-description.js';
import { PLAIN_SERVING } from '../../domain/generation/model-description.js';
import { schedulersFor } from '../../domain/generation/noise-scheduler.js';
import { FAMILY_PROFILES } from '../../domain/generation/pipeline-family.js';
import type { GenerationInput } from './generation-input.js';
import { resolveRequest } from './resolve-request.js';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const model = (id: string, family: 'sd15' | 'flux', isDefault: boolean): ModelDescription => ({
  ...PLAIN_SERVING,
  id,
  source: `/models/${id}`,
  pipelineClass: 'StableDiffusionPipeline',
  components: {},
  family,
  dtype: null,
  variant: null,
  isDefault,
  limits: { ...FAMILY_PROFILES[family].limits, max_width: 128, max_height: 128 },
  defaults: { ...FAMILY_PROFILES[family].defaults, width: 64, height: 64 },
  schedulers: schedulersFor(FAMILY_PROFILES[family].flowMatching),
  capabilities: ['text_to_image'],
});
const SHAPES = model('shapes', 'sd15', true);
const FLUX = model('flux', 'flux', false);
const OWN: ModelDescription = {
  ...model('own', 'sd15', false),
  schedulers: [],
  defaults: { ...SHAPES.defaults, scheduler: '', scheduler_options: {} },
};
const SERVED = [SHAPES, FLUX, OWN];
const MODELS = {
  list: () => SERVED,
  find: (id: string) => SERVED.find((known) => known.id === id) ?? null,
  default: () => SHAPES,
};

const resolve = (input: Partial<GenerationInput>) =>
  resolveRequest({ prompt: 'a red circle', ...input }, MODELS, {
    now: NOW,
    webhooksEnabled: false,
    pictureSource: { refusal: () => null },
    timeBudgetMs: null,
    drawSeed: () => '77',
  });
function accepted(input: Partial<GenerationInput>) {
  const resolution = resolve(input);
  if (!resolution.ok) throw new Error(JSON.stringify(resolution.problems));
  return resolution.request;
}

describe('resolveRequest', () => {
  it('fills in the defaults of the default model and draws a seed', () => {
    expect(accepted({})).toEqual({
      model: 'shapes',
      prompt: 'a red circle',
      negative_prompt: '',
      width: 64,
      height: 64,
      num_inference_steps: 20,
      guidance_scale: 7.5,
      num_images: 1,
      seed: '77',
      scheduler: 'DPMSolverMultistepScheduler',
      scheduler_options: { use_karras_sigmas: true },
      priority: 'normal',
      output_format: 'png',
      exact: false,
      max_degradation: 'reduced',
      start_by: null,
      finish_by: null,
      time_budget_ms: null,
      webhook: null,
      metadata: {},
    });
  });

  it('keeps what was asked for, to the last bit of the seed', () => {
    const seed = (2n ** 63n - 1n).toString();
    expect(accepted({ seed, width: 128, guidance_scale: 0, num_inference_steps: 1 })).toMatchObject({
      seed,
      width: 128,
      guidance_scale: 0,
      num_inference_steps: 1,
    });
  });

  it.each<[string, Partial<GenerationInput>, unknown, unknown]>([
    ['model', { model: 'dalle' }, 'dalle', ['shapes', 'flux', 'own']],
    ['prompt', { prompt: ' \n' }, ' \n', { min_chars: 1 }],
    ['prompt', { prompt: 'x'.repeat(100_000) }, `${'x'.repeat(40)}… (100000 characters)`, { max_chars: 10_000 }],
    ['width', { width: 63 }, 63, { min: 64, max: 128 }],
    ['width', { width: 100 }, 100, { multiple_of: 8 }],
    ['height', { height: 136 }, 136, { min: 64, max: 128 }],
    ['height', { height: -8 }, -8, { min: 64, max: 128 }],
    ['num_inference_steps', { num_inference_steps: 0 }, 0, { min: 1, max: 150 }],
    ['num_inference_steps', { num_inference_steps: 100_000 }, 100_000, { min: 1, max: 150 }],
    ['guidance_scale', { guidance_scale: -0.1 }, -0.1, { min: 0, max: 30 }],
    ['guidance_scale', { guidance_scale: Number.NaN }, Number.NaN, { min: 0, max: 30 }],
    ['num_images', { num_images: 0 }, 0, { min: 1, max: 16 }],
    ['seed', { seed: '-1' }, '-1', { min: 0, max: (2n ** 63n - 1n).toString() }],
    ['seed', { seed: (2n ** 63n).toString() }, (2n ** 63n).toString(), { min: 0, max: (2n ** 63n - 1n).toString() }],
    [
      'seed',
      { seed: (2n ** 63n - 1n).toString(), num_images: 2 },
      (2n ** 63n - 1n).toString(),
      { min: 0, max: (2n ** 63n - 2n).toString() },
    ],
    ['scheduler', { scheduler: 'Nonsense' }, 'Nonsense', SHAPES.schedulers],
    ['scheduler', { scheduler: 'toString' }, 'toString', SHAPES.schedulers],
    [
      'scheduler',
      { scheduler: 'FlowMatchEulerDiscreteScheduler' },
      'FlowMatchEulerDiscreteScheduler',
      SHAPES.schedulers,
    ],
    [
      'scheduler_options.nonsense',
      { scheduler: 'DDIMScheduler', scheduler_options: { nonsense: 1 } },
      1,
      ['timestep_spacing'],
    ],
    ['scheduler_options.solver_order', { scheduler_options: { solver_order: 9 } }, 9, 'integer from 1 to 3'],
    [
      'scheduler_options.use_karras_sigmas',
      { scheduler_options: { use_karras_sigmas: 'yes' } },
      'yes',
      'true or false',
    ],
    ['start_by', { start_by: NOW }, '2026-01-01T00:00:00.000Z', { after: '2026-01-01T00:00:00.000Z' }],
  ])('refuses %s in %j, naming value and limit', (field, input, value, limit) => {
    const resolution = resolve(input);
    expect(resolution).toMatchObject({
      ok: false,
      problems: expect.arrayContaining([expect.objectContaining({ field, value, limit })]),
    });
  });

  it('names everything that is wrong at once', () => {
    const resolution = resolve({ prompt: '', width: 3, num_inference_steps: 0, scheduler: 'x' });
    const fields = resolution.ok ? [] : resolution.problems.map(({ field }) => field);
    expect(new Set(fields)).toEqual(new Set(['prompt', 'width', 'num_inference_steps', 'scheduler']));
  });

  it("understands AUTOMATIC1111's names and lets options of the request win over what they imply", () => {
    expect(accepted({ scheduler: 'DPM++ 2M Karras' })).toMatchObject({
      scheduler: 'DPMSolverMultistepScheduler',
      scheduler_options: { use_karras_sigmas: true },
    });
    expect(accepted({ scheduler: 'Euler a' })).toMatchObject({
      scheduler: 'EulerAncestralDiscreteScheduler',
      scheduler_options: {},
    });
    expect(
      accepted({ scheduler: 'dpm++ 2m', scheduler_options: { use_karras_sigmas: true } }).scheduler_options,
    ).toEqual({
      use_karras_sigmas: true,
    });
  });

  it('leaves a model its own noise scheduler where no other can stand in', () => {
    expect(accepted({ model: 'own' })).toMatchObject({ scheduler: '', scheduler_options: {} });
    const refused = resolve({ model: 'own', scheduler_options: { shift: 3 } });
    expect(refused).toMatchObject({
      ok: false,
      problems: [
        { field: 'scheduler_options.shift', message: 'the noise scheduler of own has no such option', limit: [] },
      ],
    });
    expect(resolve({ model: 'own', scheduler: 'DDIMScheduler' })).toMatchObject({
      ok: false,
      problems: [{ field: 'scheduler', limit: [] }],
    });
  });

  it("does not carry the default scheduler's options over to another class", () => {
    expect(accepted({ scheduler: 'DDIMScheduler' }).scheduler_options).toEqual({});
  });
});
