import type { PreviewFrame } from '../../domain/job/job-event.js';
import type { Job } from '../../domain/job/job.js';
import type { WatchItem } from '../../jobs/watch/watch-job.js';
import type { StreamEvent } from '../http/event-stream.js';
import type { ImageFiles } from './images-answer.js';
import { base64Of, seconds, settingsOf, USAGE } from './images-answer.js';
import { PartialImages } from './partial-images.js';
import type { AnswerTerms } from './read-parameters.js';
import type { ImagesFailure } from './images-failure.js';

/** Which of the two a stream is of; its events are named after it. */
export type ImagesTask = 'image_generation' | 'image_edit';

export interface PartialsOf {
  readonly job: Job;
  readonly task: ImagesTask;
  readonly terms: AnswerTerms;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** Partial images of a job that is followed, as they come; ends with the job. */
export async function* partialImages(
  items: AsyncIterable<WatchItem>,
  { job, task, terms, now }: PartialsOf,
): AsyncGenerator<StreamEvent> {
  const partials = new PartialImages(terms.partialImages);
  let steps = job.request.num_inference_steps;
  let index = 0;
  const eventOf = (frame: PreviewFrame): StreamEvent => {
    const { width, height } = job.request;
    const type = `${task}.partial_image`;
    const data = {
      type,
      b64_json: Buffer.from(frame.data).toString('base64'),
      partial_image_index: index,
      created_at: seconds(now()),
      ...settingsOf({ mediaType: frame.mediaType, width, height }, terms),
    };
    index += 1;
    return { event: type, data };
  };
  for await (const item of items) {
    if (item.kind === 'event') {
      if (item.event.body.type === 'progress') steps = item.event.body.progress.steps;
      continue;
    }
    const frame = partials.offer(item.frame, steps);
    if (frame !== null) yield eventOf(frame);
  }
  const last = partials.take();
  if (last !== null) yield eventOf(last);
}

/** Events of the finished pictures, one each. */
export async function* completedImages(
  job: Job,
  { task, terms }: Pick<PartialsOf, 'task' | 'terms'>,
  files: ImageFiles,
): AsyncGenerator<StreamEvent> {
  const type = `${task}.completed`;
  for (const artifact of job.artifacts) {
    const stream = await files.open(artifact);
    try {
      let picture = '';
      for await (const piece of base64Of(stream)) picture += piece;
      const data = {
        type,
        b64_json: picture,
        ...(terms.responseFormat === 'url' && { url: files.url(artifact) }),
        created_at: seconds(job.finishedAt ?? job.createdAt),
        ...settingsOf(artifact, terms),
        usage: USAGE,
      };
      yield { event: type, data };
    } finally {
      stream.destroy();
    }
  }
}

/** How a stream ends that has no picture to tell: clients throw what they find under `error`. */
export function errorEvent({ envelope }: ImagesFailure): StreamEvent {
  return { event: 'error', data: { type: 'error', ...envelope } };
}
