import { Injectable } from '@nestjs/common';

import type { Job } from '../../domain/job/job.js';
import type { GenerationRequest } from '../../gen/safelight/v1/safelight.pb.js';
import { SubmitJobs } from '../../jobs/submit/submit-jobs.js';
import { idempotencyKeyOf } from '../http/idempotency-key.js';
import { invalidFields } from '../http/problem.js';
import { takenJobs } from '../rest/taken-jobs.js';
import { readBatch, readSubmission } from '../rest/validate-submission.js';
import { submissionBody } from './messages/read-request.js';
import { metadataText } from './serving/callers.js';
import type { Incoming } from './serving/calls.js';

/** Submits what calls ask for, judged as the same request over REST is. */
@Injectable()
export class Submissions {
  constructor(private readonly submitJobs: SubmitJobs) {}

  /** The job a request led to; throws the problem when there is none. */
  async one(request: GenerationRequest | undefined, key: string | undefined, from: Incoming<unknown>): Promise<Job> {
    if (request === undefined) throw refused('request', 'is required', null);
    const input = readSubmission(submissionBody(request, ''), this.submitJobs);
    return (await this.taken([input], key, from, false))[0] as Job;
  }

  /** The jobs of a batch, in the order of the requests. */
  async all(
    requests: readonly GenerationRequest[],
    key: string | undefined,
    from: Incoming<unknown>,
  ): Promise<readonly Job[]> {
    const bodies = requests.map((request, index) => submissionBody(request, `requests[${index}].`));
    return this.taken(readBatch({ requests: bodies }, this.submitJobs), key, from, true);
  }

  private async taken(
    inputs: Parameters<SubmitJobs['submit']>[0],
    key: string | undefined,
    { metadata, caller, gone }: Incoming<unknown>,
    batch: boolean,
  ): Promise<readonly Job[]> {
    const idempotencyKey = idempotencyKeyIn(key, metadataText(metadata, 'idempotency-key'));
    const result = await this.submitJobs.submit(inputs, idempotencyKey, { caller, batch, gone });
    return takenJobs(result, idempotencyKey !== null).jobs;
  }
}

/** The key of the field, or of the metadata; null: there is none. Throws when they are two. */
export function idempotencyKeyIn(field: string | undefined, metadata: string | undefined): string | null {
  if (field !== undefined && metadata !== undefined && field !== metadata)
    throw refused('idempotency_key', 'differs from the metadata idempotency-key', field);
  return idempotencyKeyOf(field ?? metadata);
}

function refused(field: string, message: string, value: unknown) {
  return invalidFields([{ field, message, value, limit: null }]);
}
