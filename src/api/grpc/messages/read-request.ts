import type { GenerationRequest, Image } from '../../../gen/safelight/v1/safelight.pb.js';
import { invalidFields } from '../../http/problem.js';
import { FIDELITY, MASK_TRANSPARENCY, OUTPUT_FORMAT, PRIORITY, wordOf } from './enums.js';
import { millisecondsOf } from './times.js';

/** A submission in the words of the REST resource, which judges it; see validate-submission.ts. */
export type SubmissionBody = Readonly<Record<string, unknown>>;

/** What an address of a picture may begin with; anything else could be taken for base64. */
const ADDRESS = /^(https?:\/\/|data:)/i;

/** What was not given is absent. `prefix`: where the request stands in the message, for problems. */
export function submissionBody(request: GenerationRequest, prefix: string): SubmissionBody {
  const image = (field: string, given: Image | undefined) => imageText(`${prefix}${field}`, given);
  const body: Record<string, unknown> = {
    model: request.model,
    prompt: request.prompt,
    negative_prompt: request.negativePrompt,
    width: request.width,
    height: request.height,
    num_inference_steps: request.numInferenceSteps,
    guidance_scale: request.guidanceScale,
    num_images: request.numImages,
    seed: request.seed,
    scheduler: request.scheduler,
    scheduler_options: request.schedulerOptions,
    priority: wordOf(PRIORITY, request.priority),
    output_format: wordOf(OUTPUT_FORMAT, request.outputFormat),
    output_quality: request.outputQuality,
    // Absent in a body that does not ask for it, so that the same request has the same idempotency hash over REST.
    exact: request.exact || undefined,
    max_degradation: wordOf(FIDELITY, request.maxDegradation),
    start_by: timeText(request.startBy),
    finish_by: timeText(request.finishBy),
    time_budget_ms: request.timeBudget && millisecondsOf(request.timeBudget),
    metadata: Object.keys(request.metadata).length === 0 ? undefined : request.metadata,
    init_image: image('init_image', request.initImage),
    mask_image: image('mask_image', request.maskImage),
    mask_transparency: wordOf(MASK_TRANSPARENCY, request.maskTransparency),
    strength: request.strength,
    controls: given(request.controls)?.map(({ image: picture, ...control }, index) =>
      withoutAbsent({ ...control, image: image(`controls[${index}].image`, picture) }),
    ),
    loras: given(request.loras)?.map((lora) => withoutAbsent({ ...lora })),
    ip_adapter:
      request.ipAdapter &&
      withoutAbsent({ ...request.ipAdapter, image: image('ip_adapter.image', request.ipAdapter.image) }),
    true_cfg_scale: request.trueCfgScale,
    num_frames: request.numFrames,
    webhook: request.webhook,
  };
  return withoutAbsent(body);
}

/** A picture as a body of REST would hold it. One without a source counts as not given. */
function imageText(field: string, image: Image | undefined): string | undefined {
  switch (image?.source?.$case) {
    case 'data':
      return image.source.value.toString('base64');
    case 'url': {
      const { value } = image.source;
      if (ADDRESS.test(value)) return value;
      const message = 'must be an http or https address, or a data: URL';
      throw invalidFields([{ field: `${field}.url`, message, value, limit: { schemes: ['http', 'https', 'data'] } }]);
    }
    default:
      return undefined;
  }
}

/** What is no time anybody can write is refused as such by whoever reads the text. */
function timeText(at: Date | undefined): string | undefined {
  return at === undefined || !Number.isNaN(at.getTime()) ? at?.toISOString() : 'no time';
}

/** A list on the wire is always there; an empty one was not given. */
function given<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

function withoutAbsent(fields: Readonly<Record<string, unknown>>): SubmissionBody {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
