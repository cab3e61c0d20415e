import { modelDescription } from '../../../test/support/api.js';
import { PICTURES } from '../../../test/support/pictures.js';
import type { GenerationInput } from './generation-input.js';
import { Picture } from './picture.js';
import { resolveRequest } from './resolve-request.js';

const ABLE = {
  capabilities: ['text_to_image', 'image_to_image', 'inpaint', 'controlnet', 'ip_adapter'],
  controlnets: [{ id: 'canny', source: '/controlnets/canny' }],
  ipAdapters: [{ id: 'face', source: '/ip/face.safetensors' }],
};
const image = new Picture(Buffer.from(PICTURES['a PNG'], 'base64'));
const controls = [{ id: 'canny', image }];
const ip_adapter = { id: 'face', image };

function resolve(pipelineClass: string, input: Partial<GenerationInput>) {
  const model = modelDescription({ ...ABLE, pipelineClass });
  const models = { list: () => [model], find: () => model, default: () => model };
  return resolveRequest({ prompt: 'a red circle', ...input }, models, {
    now: 0,
    webhooksEnabled: false,
    pictureSource: { refusal: () => null },
    timeBudgetMs: null,
    drawSeed: () => '77',
  });
}
function problemsOf(pipelineClass: string, input: Partial<GenerationInput>) {
  const resolution = resolve(pipelineClass, input);
  return resolution.ok ? [] : resolution.problems;
}

describe('controls', () => {
  it.each<[string, Partial<GenerationInput>, string[]]>([
    ['a picture to begin with', { init_image: image }, ['init_image']],
    ['a masked one', { init_image: image, mask_image: image }, ['init_image', 'mask_image']],
    ['an IP-Adapter', { ip_adapter }, ['ip_adapter']],
    ['all of them', { init_image: image, ip_adapter }, ['init_image', 'ip_adapter']],
  ])('are refused together with %s', (_, besides, without) => {
    for (const pipelineClass of ['StableDiffusionPipeline', 'StableDiffusionXLInpaintPipeline'])
      expect(problemsOf(pipelineClass, { controls, ...besides })).toEqual([
        { field: 'controls', message: expect.stringContaining('from text only'), value: ['canny'], limit: { without } },
      ]);
  });

  it('are refused beside all else that is wrong, at once', () => {
    const problems = problemsOf('StableDiffusionPipeline', { controls, init_image: image, strength: 0.01, width: 63 });
    expect(new Set(problems.map(({ field }) => field))).toEqual(new Set(['width', 'controls', 'strength']));
  });

  it.each<[string, Partial<GenerationInput>]>([
    ['text', { controls }],
    ['none, beside the others', { controls: [], init_image: image, mask_image: image, ip_adapter }],
  ])('are taken with %s', (_, input) => {
    expect(problemsOf('StableDiffusionPipeline', input)).toEqual([]);
  });

  it('are what a class that holds a ControlNet cannot do without', () => {
    const model = 'StableDiffusionControlNetPipeline';
    const { capabilities } = ABLE;
    const problem = { field: 'controls', message: expect.stringContaining('needs controls'), value: null };
    for (const input of [{}, { controls: [] }, { init_image: image }])
      expect(problemsOf(model, input)).toEqual([{ ...problem, limit: { capabilities } }]);
    for (const input of [{ controls }, { controls, init_image: image }, { controls, ip_adapter }])
      expect(problemsOf(model, input)).toEqual([]);
  });
});

describe('a strength', () => {
  const drawnOver = (num_inference_steps: number, strength?: number) => ({
    init_image: image,
    num_inference_steps,
    ...(strength !== undefined && { strength }),
  });

  it.each<[number, number | undefined, number, number]>([
    [20, 0.04, 0.04, 0.05],
    [4, 0.2, 0.2, 0.25],
    [1, undefined, 0.8, 1],
    [1, 0.99, 0.99, 1],
  ])('that leaves none of %d steps is refused: %d', (steps, strength, value, min) => {
    for (const pipelineClass of ['StableDiffusionPipeline', 'StableDiffusionXLImg2ImgPipeline'])
      expect(problemsOf(pipelineClass, drawnOver(steps, strength))).toEqual([
        { field: 'strength', message: `leaves none of ${steps} steps; must be at least ${min}`, value, limit: { min } },
      ]);
  });

  it('counts the steps of the model where none are asked for', () => {
    expect(problemsOf('StableDiffusionPipeline', { init_image: image, strength: 0.049 })).toMatchObject([
      { field: 'strength', limit: { min: 0.05 } },
    ]);
    expect(problemsOf('StableDiffusionPipeline', { init_image: image, strength: 0.05 })).toEqual([]);
  });

  it('that is told as the least works, for every number of steps', () => {
    for (let steps = 1; steps <= 150; steps += 1) {
      const [problem] = problemsOf('StableDiffusionPipeline', drawnOver(steps, 0.9 / steps));
      const { min } = problem!.limit as { min: number };
      expect(min).toBeCloseTo(1 / steps, 12);
      expect(problemsOf('StableDiffusionPipeline', drawnOver(steps, min))).toEqual([]);
    }
  });

  it.each(['StableDiffusion3Pipeline', 'FluxPipeline', 'KolorsPipeline'])(
    'is left to a %s, which may begin in the middle of a step',
    (pipelineClass) => {
      expect(problemsOf(pipelineClass, drawnOver(4, 0.2))).toEqual([]);
    },
  );

  it('out of its own range is told once, also beside a number of steps that is', () => {
    for (const [steps, strength, fields] of [
      [20, 0, ['strength']],
      [20, Number.NaN, ['strength']],
      [0, 0.5, ['num_inference_steps']],
    ] as const)
      expect(problemsOf('StableDiffusionPipeline', drawnOver(steps, strength)).map(({ field }) => field)).toEqual(
        fields,
      );
  });
});
