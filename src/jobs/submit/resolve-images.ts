import type {
  ControlRequest,
  GenerationRequest,
  IpAdapterRequest,
} from '../../domain/generation/generation-request.js';
import { IMAGE_MEDIA_TYPES, readImageHeader } from '../../domain/generation/image-header.js';
import type { ImageRef } from '../../domain/generation/image-ref.js';
import type { ModelDescription } from '../../domain/generation/model-description.js';
import type { InputFile } from '../ports/artifact-store.port.js';
import type { PictureSource } from '../ports/picture-source.port.js';
import { checkCombination, DEFAULT_STRENGTH } from './check-combination.js';
import type { GenerationInput } from './generation-input.js';
import type { Picture } from './picture.js';
import { PictureUrl } from './picture.js';
import type { ProblemList } from './problem-list.js';
import { isAddOn } from './resolve-add-on.js';

/** Largest picture file; more than a lossless 20-megapixel photograph has. */
export const MAX_IMAGE_BYTES = 20 * 1024 * 1024;

/** Largest picture once it is decoded: three bytes a pixel in the worker, for the time of its preparation. */
export const MAX_IMAGE_PIXELS = 64_000_000;

/** Largest weight of a ControlNet's residuals or an IP-Adapter's attention; above 2 pictures are noise already. */
const MAX_SCALE = 4;

type ImageFields = Pick<
  GenerationRequest,
  'init_image' | 'mask_image' | 'mask_transparency' | 'strength' | 'controls' | 'ip_adapter'
>;

/** Fields of a request that name pictures, and the files behind them, each once. */
export interface ResolvedImages {
  readonly fields: ImageFields;
  readonly files: readonly InputFile[];
}

/** What is known of a picture that was not fetched: fields that name it are judged without it. */
const NOT_FETCHED: ImageRef = { sha256: '', bytes: 0, media_type: 'image/png', width: 0, height: 0 };

/**
 * Checks the pictures of a request against what they are and what the model can do with them; notes every problem. Of
 * addresses, whether they may be fetched: a request that names some is judged again with what they led to.
 */
export function resolveImages(
  input: GenerationInput,
  model: ModelDescription,
  pictureSource: Pick<PictureSource, 'refusal'>,
  problems: ProblemList,
): ResolvedImages {
  const files = new Map<string, InputFile>();
  const take = (field: string, picture: Picture | PictureUrl): ImageRef => {
    if (picture instanceof PictureUrl) {
      const refusal = pictureSource.refusal(picture.url);
      if (refusal !== null) problems.add(field, refusal.message, picture.shown, refusal.limit);
      return NOT_FETCHED;
    }
    const ref = checkedRef(field, picture, problems);
    files.set(ref.sha256, { ref, bytes: picture.bytes });
    return ref;
  };
  checkTask(input, model, problems);
  checkCombination(input, model, problems);
  const fields: ImageFields = {
    ...(input.init_image && {
      init_image: take('init_image', input.init_image),
      strength: strengthOf(input, problems),
    }),
    ...(input.mask_image && { mask_image: take('mask_image', input.mask_image) }),
    ...(input.mask_transparency && { mask_transparency: input.mask_transparency }),
    ...(input.controls && input.controls.length > 0 && { controls: controlsOf(input.controls, model, take, problems) }),
    ...(input.ip_adapter && { ip_adapter: ipAdapterOf(input.ip_adapter, model, take, problems) }),
  };
  return { fields, files: [...files.values()] };
}

/** What `init_image`, `mask_image` and `strength` ask for together. */
function checkTask(input: GenerationInput, model: ModelDescription, problems: ProblemList): void {
  const { init_image, mask_image, mask_transparency, strength } = input;
  const can = (...tasks: string[]) => tasks.some((task) => model.capabilities.includes(task));
  const { id, capabilities } = model;
  if (init_image === undefined) {
    if (!can('text_to_image', 'text_to_video')) {
      const needed = can('image_to_image', 'image_to_video') ? 'init_image' : 'init_image and mask_image';
      problems.add('init_image', `the model ${id} draws from pictures only: it needs ${needed}`, null, {
        capabilities,
      });
    }
    if (mask_image !== undefined)
      problems.add('mask_image', 'needs init_image, the picture it is laid over', mask_image, { with: 'init_image' });
    if (strength !== undefined)
      problems.add('strength', 'needs init_image, the picture it weakens', strength, { with: 'init_image' });
  }
  if (mask_transparency !== undefined && mask_image === undefined)
    problems.add('mask_transparency', 'needs mask_image', mask_transparency, { with: 'mask_image' });
  if (mask_image !== undefined) {
    if (!can('inpaint')) problems.add('mask_image', `the model ${id} cannot do inpaint`, mask_image, { capabilities });
  } else if (init_image !== undefined && !can('image_to_image', 'image_to_video')) {
    if (can('inpaint'))
      problems.add('mask_image', `the model ${id} only paints into pictures: it needs mask_image`, null, {
        capabilities,
      });
    else problems.add('init_image', `the model ${id} cannot do image_to_image`, init_image, { capabilities });
  }
}

function strengthOf({ strength }: GenerationInput, problems: ProblemList): number {
  return strength === undefined ? DEFAULT_STRENGTH : problems.rangeAbove('strength', strength, 0, 1);
}

type Take = (field: string, picture: Picture | PictureUrl) => ImageRef;

function controlsOf(
  controls: NonNullable<GenerationInput['controls']>,
  model: ModelDescription,
  take: Take,
  problems: ProblemList,
): ControlRequest[] {
  return controls.map(({ id, image, scale = 1, start = 0, end = 1 }, index) => {
    const field = `controls[${index}]`;
    isAddOn(`${field}.id`, id, { capability: 'controlnet', offered: model.controlnets, model }, problems);
    problems.range(`${field}.start`, start, 0, 1);
    problems.range(`${field}.end`, end, 0, 1);
    if (start >= end) problems.add(`${field}.end`, 'must be above start', end, { above: start });
    return {
      id,
      image: take(`${field}.image`, image),
      scale: problems.rangeAbove(`${field}.scale`, scale, 0, MAX_SCALE),
      start,
      end,
    };
  });
}

function ipAdapterOf(
  { id, image, scale = 1 }: NonNullable<GenerationInput['ip_adapter']>,
  model: ModelDescription,
  take: Take,
  problems: ProblemList,
): IpAdapterRequest {
  isAddOn('ip_adapter.id', id, { capability: 'ip_adapter', offered: model.ipAdapters, model }, problems);
  return {
    id,
    image: take('ip_adapter.image', image),
    scale: problems.range('ip_adapter.scale', scale, 0, MAX_SCALE),
  };
}

/** Notes what is wrong with the file itself. A picture that passes can still be damaged behind its header: the worker tells. */
function checkedRef(field: string, { bytes, sha256 }: Picture, problems: ProblemList): ImageRef {
  if (bytes.length > MAX_IMAGE_BYTES) {
    problems.add(field, `must have at most ${MAX_IMAGE_BYTES} bytes`, bytes.length, { max_bytes: MAX_IMAGE_BYTES });
  }
  const header = readImageHeader(bytes);
  if (header === null) {
    const begin = Buffer.from(bytes.subarray(0, 8)).toString('hex');
    const value = { bytes: bytes.length, begins_with_hex: begin };
    problems.add(field, 'must be a PNG, a JPEG or a WebP picture', value, { media_types: IMAGE_MEDIA_TYPES });
    return { sha256, bytes: bytes.length, media_type: 'image/png', width: 0, height: 0 };
  }
  const { width, height } = header;
  if (width * height > MAX_IMAGE_PIXELS) {
    const message = `must have at most ${MAX_IMAGE_PIXELS} pixels`;
    problems.add(field, message, { width, height }, { max_pixels: MAX_IMAGE_PIXELS });
  }
  return { sha256, bytes: bytes.length, ...header };
}
