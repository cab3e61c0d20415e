import type { JobEvent as StoredEvent, JobEventBody, PreviewFrame } from '../../../domain/job/job-event.js';
import type { JobEvent } from '../../../gen/safelight/v1/safelight.pb.js';
import type { JobSnapshot } from '../../../jobs/query/query-jobs.js';
import { FIDELITY, JOB_STATE, PHASE } from './enums.js';
import { jobMessage, progressMessage } from './job-message.js';

/** A stored event in the words of the wire; `final` is told with its job instead. */
export function eventMessage(seq: number, body: Exclude<JobEventBody, { type: 'final' }>): JobEvent {
  return { id: String(seq), event: bodyMessage(body) };
}

export function finalMessage({ seq }: StoredEvent, snapshot: JobSnapshot): JobEvent {
  return { id: String(seq), event: { $case: 'final', value: jobMessage(snapshot) } };
}

/** Previews are not kept and have no number. */
export function previewMessage({ step, mediaType, data }: PreviewFrame): JobEvent {
  return { id: '0', event: { $case: 'preview', value: { step, mediaType, data: Buffer.from(data) } } };
}

function bodyMessage(body: Exclude<JobEventBody, { type: 'final' }>): JobEvent['event'] {
  switch (body.type) {
    case 'state':
      return { $case: 'state', value: { state: JOB_STATE[body.state], attempt: body.attempt } };
    case 'phase':
      return { $case: 'phase', value: { phase: PHASE[body.phase], attempt: body.attempt } };
    case 'progress':
      return { $case: 'progress', value: progressMessage(body.progress) };
    case 'degradation': {
      const { rung, cause } = body;
      const value = { rung, fidelity: FIDELITY[body.fidelity], cause, attempt: 0, at: undefined };
      return { $case: 'degradation', value };
    }
    case 'artifact': {
      const { index, sha256, seed } = body;
      return { $case: 'artifact', value: { index, mediaType: '', width: 0, height: 0, sizeBytes: '0', sha256, seed } };
    }
  }
}
