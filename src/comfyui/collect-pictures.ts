import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { StagedArtifact } from '../dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../domain/generation/execution-plan.js';
import { readImageHeader } from '../domain/generation/image-header.js';
import { replacePngTexts } from '../png/texts.js';
import type { HistoryEntry } from './client/answers.js';
import type { ComfyUiClient } from './client/comfyui-client.js';
import { isUniformPng } from './uniform-png.js';
import type { Workflow } from './workflows/workflow.js';

/** What ComfyUI made is not what the plan asks for. */
export class WrongPictureError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WrongPictureError';
  }
}

interface Format {
  readonly extension: string;
  readonly mediaType: string;
  /** What ComfyUI is to convert its PNG to; null: nothing. */
  readonly preview: string | null;
}

/** What workers write with when nothing is asked for. */
const WORKERS_QUALITY = 90;

const PNG: Format = { extension: 'png', mediaType: 'image/png', preview: null };
const FORMATS: Partial<Record<ExecutionPlan['outputFormat'], Format>> = {
  png: PNG,
  webp: { extension: 'webp', mediaType: 'image/webp', preview: 'webp' },
  jpeg: { extension: 'jpg', mediaType: 'image/jpeg', preview: 'jpeg' },
};

/**
 * Brings the pictures of a finished prompt into the attempt's staging folder, checked. Rejects with
 * {@link WrongPictureError}, or as the client does.
 */
export async function collectPictures(
  client: Pick<ComfyUiClient, 'picture'>,
  plan: ExecutionPlan,
  workflow: Workflow,
  { outputs }: HistoryEntry,
): Promise<readonly StagedArtifact[]> {
  const format = FORMATS[plan.outputFormat];
  if (format === undefined) throw new WrongPictureError(`ComfyUI makes no ${plan.outputFormat}`);
  const quality = plan.outputQuality ?? WORKERS_QUALITY;
  const artifacts: StagedArtifact[] = [];
  for (const [index, seed] of plan.seeds.entries()) {
    const image = outputs[workflow.pictures[index] ?? '']?.images[0];
    if (image === undefined) throw new WrongPictureError(`ComfyUI left no picture ${index}`);
    // As a PNG in any case: only its pixels can be looked at.
    const png = await checkedPng(await client.picture(image, null), plan);
    const bytes =
      format.preview === null
        ? png
        : checkedHeader(await client.picture(image, `${format.preview};${quality}`), plan, format);
    const fileName = `${index}.${format.extension}`;
    await writeFile(join(plan.stagingDir, fileName), bytes);
    artifacts.push({
      index,
      fileName,
      mediaType: format.mediaType,
      width: plan.width,
      height: plan.height,
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      seed,
    });
  }
  return artifacts;
}

/** The picture with our texts in place of its own. */
async function checkedPng(picture: Buffer, plan: ExecutionPlan): Promise<Buffer> {
  checkedHeader(picture, plan, PNG);
  const kept = replacePngTexts(picture, plan.fileMetadata);
  const isUniform = await isUniformPng(picture);
  if (kept === null || isUniform === null) throw new WrongPictureError('ComfyUI sent a PNG that is damaged');
  if (isUniform) throw new WrongPictureError('all pixels are the same: the model made numbers that are none');
  return kept;
}

function checkedHeader(picture: Buffer, { width, height }: ExecutionPlan, { mediaType }: Format): Buffer {
  const header = readImageHeader(picture);
  if (header?.media_type !== mediaType)
    throw new WrongPictureError(`ComfyUI sent ${header?.media_type ?? 'no picture'} in place of ${mediaType}`);
  if (header.width !== width || header.height !== height)
    throw new WrongPictureError(`ComfyUI drew ${header.width}x${header.height} in place of ${width}x${height}`);
  return picture;
}
