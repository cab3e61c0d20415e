import type { GenerationRequest } from '../../../domain/generation/generation-request.js';
import { parseInfotext } from './parse-infotext.js';
import { writeInfotext } from './write-infotext.js';

const REQUEST: GenerationRequest = {
  model: 'shapes',
  prompt: 'a red circle',
  negative_prompt: '',
  width: 64,
  height: 72,
  num_inference_steps: 20,
  guidance_scale: 7.5,
  num_images: 2,
  seed: '7',
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
};

describe('an infotext', () => {
  it('is what AUTOMATIC1111 writes', () => {
    const effective = { weights_sha256: '0123456789abcdef' };
    const text = writeInfotext({ ...REQUEST, negative_prompt: 'a dog' }, effective, '8');
    expect(text).toMatch(
      /^a red circle\nNegative prompt: a dog\nSteps: 20, Sampler: DPM\+\+ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 8, Size: 64x72, Model hash: 0123456789, Model: shapes, Version: Safelight \S+$/,
    );
  });

  it.each<[string, Partial<GenerationRequest>, Record<string, string>]>([
    ['a prompt of several lines', { prompt: 'a circle,\n\na "star": blue' }, { Prompt: 'a circle,\n\na "star": blue' }],
    ['a negative prompt', { negative_prompt: 'a dog,\nred' }, { 'Negative prompt': 'a dog,\nred' }],
    ['brackets, which weigh nothing here', { prompt: 'a (red:1.2) circle' }, { Emphasis: 'None' }],
    ['a model with a comma in its id', { model: 'x, "y": z' }, { Model: 'x, "y": z' }],
    ['a picture to start from', { strength: 0.75 }, { 'Denoising strength': '0.75' }],
    ['LoRAs', { loras: [{ id: 'ink', weight: 0.8 }] }, { Prompt: 'a red circle <lora:ink:0.8>' }],
    ['characters of other scripts', { prompt: '赤い丸 🔴' }, { Prompt: '赤い丸 🔴' }],
    [
      'a scheduler AUTOMATIC1111 has no name for',
      { scheduler: 'DDPMScheduler', scheduler_options: {} },
      { Sampler: 'DDPMScheduler' },
    ],
  ])('holds %s and gives it back', (_what, changes, expected) => {
    const read = parseInfotext(writeInfotext({ ...REQUEST, ...changes }, null, '9223372036854775807'));
    expect(read).toMatchObject({
      Steps: '20',
      Seed: '9223372036854775807',
      'Size-1': '64',
      'Size-2': '72',
      ...expected,
    });
  });

  it('of another program is read as far as it goes', () => {
    const text =
      'a cat\nNegative prompt: dog\nSteps: 5, Sampler: Euler a, CFG scale: 7, Lora hashes: "a: 1, b: 2", Broken: "x';
    expect(parseInfotext(text)).toMatchObject({
      Prompt: 'a cat',
      Steps: '5',
      'Lora hashes': 'a: 1, b: 2',
      Broken: '"x',
    });
    expect(parseInfotext('only: a prompt, no more')).toEqual({
      Prompt: 'only: a prompt, no more',
      'Negative prompt': '',
    });
    expect(parseInfotext(' \n ')).toEqual({});
  });

  it('that is made to keep a reader busy does not', () => {
    const begin = performance.now();
    for (const text of ['a'.repeat(200_000), ' '.repeat(199_999) + 'x', 'a: "'.repeat(50_000), 'a:'.repeat(100_000)])
      parseInfotext(`p\n${text}`);
    expect(performance.now() - begin).toBeLessThan(10_000);
  });
});
