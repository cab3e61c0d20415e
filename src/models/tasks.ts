import { familyOfClass } from '../domain/generation/pipeline-family.js';

/** What a pipeline draws, by what it draws it from. */
export type Task = 'text_to_image' | 'image_to_image' | 'inpaint' | 'text_to_video' | 'image_to_video';

type Config = Readonly<Record<string, unknown>> | null;

/** What the files of a model tell of its tasks; null: there is no such file. */
export interface TaskFacts {
  readonly pipelineClass: string;
  /** `model_index.json`. */
  readonly index: Config;
  /** `config.json` of the UNet or transformer. */
  readonly denoiser: Config;
  readonly vae: Config;
}

const ALL: readonly Task[] = ['text_to_image', 'image_to_image', 'inpaint'];

/** Beginnings and parts of names of diffusers' video classes. */
const VIDEO =
  /Video|^(Wan|LTX|CogVideoX|AnimateDiff|Mochi|HunyuanVideo|Allegro|AnyFlow|ChronoEdit|ConsisID|Cosmos(.*World|2_5|3)|EasyAnimate|Helios|Latte|SkyReels|Lucy|Motif|PIA|SanaWM|I2VGenXL|Kandinsky(5[IT]2V|6))/;
/** Of those, the ones that have to be given the first frame. */
const FROM_FRAME = /ImageToVideo|Image2Video|I2V|Framepack|^(StableVideoDiffusion|PIA|ChronoEdit|SanaWM)/;

/** Names of classes outside our families, and what their `__call__` takes; the first that fits counts. */
const BY_NAME: readonly (readonly [RegExp, readonly Task[]])[] = [
  [/Inpaint|Fill|PaintByExample/, ['inpaint']],
  [
    /2Img|I2I|Edit(Plus)?Pipeline|InstructPix2Pix|Upscale|SuperResolution|Refiner|Layered|ImageVariation/,
    ['image_to_image'],
  ],
  [/Kontext|^(Flux2|GlmImage|DreamLite|ZImageOmni|BriaFibo2|QwenImage21)/, ['text_to_image', 'image_to_image']],
  [/^(QwenImage|ZImage|StableDiffusionPAG|StableDiffusionXLPAG)Pipeline$/, ALL],
  [/^(Kolors|LatentConsistencyModel|Kandinsky3|StableDiffusion3PAG)Pipeline$/, ['text_to_image', 'image_to_image']],
];

/** What a model can be asked for without anything beside it. */
export function tasksOf({ pipelineClass, index, denoiser, vae }: TaskFacts): readonly Task[] {
  const family = familyOfClass(pipelineClass);
  if (family === 'other') return tasksByName(pipelineClass);
  if (family !== 'flux' && hasChannelsForMask(denoiser, vae)) return ['inpaint'];
  // An SDXL refiner is told a picture's size and score in place of the second text encoder's view of the prompt.
  if (family === 'sdxl' && index?.['requires_aesthetics_score'] === true) return ['image_to_image', 'inpaint'];
  return ALL;
}

function tasksByName(pipelineClass: string): readonly Task[] {
  if (VIDEO.test(pipelineClass)) return FROM_FRAME.test(pipelineClass) ? ['image_to_video'] : ['text_to_video'];
  return BY_NAME.find(([name]) => name.test(pipelineClass))?.[1] ?? ['text_to_image'];
}

/** Whether the denoiser reads mask and masked picture beside the latents: 9 channels where the VAE has 4, say. */
function hasChannelsForMask(denoiser: Config, vae: Config): boolean {
  const [taken, latent] = [denoiser?.['in_channels'], vae?.['latent_channels']];
  return typeof taken === 'number' && typeof latent === 'number' && taken !== latent;
}
