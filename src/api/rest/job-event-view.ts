import type { JobEventBody, PreviewFrame } from '../../domain/job/job-event.js';
import { exactInteger } from '../http/json/exact-json.js';
import { progressView } from './job-view.js';
import { artifactPath } from './paths.js';

/** Data of a stored event in the words of the API; `final` is shown with its job instead. */
export function jobEventView(jobId: string, body: Exclude<JobEventBody, { type: 'final' }>): object {
  switch (body.type) {
    case 'state':
      return { state: body.state, attempt: body.attempt };
    case 'phase':
      return { phase: body.phase, attempt: body.attempt };
    case 'progress':
      return progressView(body.progress);
    case 'degradation':
      return { rung: body.rung, fidelity: body.fidelity, cause: body.cause };
    case 'artifact':
      return {
        index: body.index,
        url: artifactPath(jobId, body.index),
        sha256: body.sha256,
        seed: exactInteger(body.seed),
      };
  }
}

export function previewView(frame: PreviewFrame): object {
  return { step: frame.step, media_type: frame.mediaType, data_base64: Buffer.from(frame.data).toString('base64') };
}
