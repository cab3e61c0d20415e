import type { Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import { Controller, UseFilters, UseGuards } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';

import type { Caller } from '../../domain/access/caller.js';
import type { Job as StoredJob } from '../../domain/job/job.js';
import type {
  CancelJobRequest,
  CancelJobResponse,
  GetJobRequest,
  GetJobResponse,
  Job,
  JobServiceService,
  ListJobsRequest,
  ListJobsResponse,
  SubmitJobRequest,
  SubmitJobResponse,
  SubmitJobsRequest,
  SubmitJobsResponse,
} from '../../gen/safelight/v1/safelight.pb.js';
import { CancelJob } from '../../jobs/cancel/cancel-job.js';
import { QueryJobs } from '../../jobs/query/query-jobs.js';
import { cursorBefore } from '../rest/list-query.js';
import { jobIdOf, orNoSuchJob } from '../rest/job-id.js';
import { filterOf } from './messages/list-filter.js';
import { jobMessage } from './messages/job-message.js';
import { CallAccessGuard } from './serving/access.guard.js';
import { Calls } from './serving/calls.js';
import type { Handlers } from './serving/handlers.js';
import { StatusFilter } from './status/status.filter.js';
import { Submissions } from './submissions.js';

type Methods = 'submitJob' | 'submitJobs' | 'getJob' | 'listJobs' | 'cancelJob';

/** The calls about jobs that answer once. */
@UseGuards(CallAccessGuard)
@UseFilters(StatusFilter)
@Controller()
export class GrpcJobsController implements Handlers<typeof JobServiceService, Methods> {
  constructor(
    private readonly calls: Calls,
    private readonly submissions: Submissions,
    private readonly queryJobs: QueryJobs,
    private readonly cancelJobs: CancelJob,
  ) {}

  @GrpcMethod('JobService', 'submitJob')
  submitJob(
    _request: SubmitJobRequest,
    _metadata: Metadata,
    call: ServerUnaryCall<SubmitJobRequest, SubmitJobResponse>,
  ): Promise<SubmitJobResponse> {
    return this.calls.unary(call, async (incoming) => {
      const { request, idempotencyKey } = incoming.request;
      const job = await this.submissions.one(request, idempotencyKey, incoming);
      return { job: await this.message(job) };
    });
  }

  @GrpcMethod('JobService', 'submitJobs')
  submitJobs(
    _request: SubmitJobsRequest,
    _metadata: Metadata,
    call: ServerUnaryCall<SubmitJobsRequest, SubmitJobsResponse>,
  ): Promise<SubmitJobsResponse> {
    return this.calls.unary(call, async (incoming) => {
      const { requests, idempotencyKey } = incoming.request;
      const jobs = await this.submissions.all(requests, idempotencyKey, incoming);
      return { jobs: await Promise.all(jobs.map((job) => this.message(job))) };
    });
  }

  @GrpcMethod('JobService', 'getJob')
  getJob(
    _request: GetJobRequest,
    _metadata: Metadata,
    call: ServerUnaryCall<GetJobRequest, GetJobResponse>,
  ): Promise<GetJobResponse> {
    return this.calls.unary(call, async ({ request, caller }) => {
      const snapshot = orNoSuchJob(await this.queryJobs.get(jobIdOf(request.id), caller));
      return { job: jobMessage(snapshot) };
    });
  }

  @GrpcMethod('JobService', 'listJobs')
  listJobs(
    _request: ListJobsRequest,
    _metadata: Metadata,
    call: ServerUnaryCall<ListJobsRequest, ListJobsResponse>,
  ): Promise<ListJobsResponse> {
    return this.calls.unary(call, ({ request, caller }) => this.page(request, caller));
  }

  @GrpcMethod('JobService', 'cancelJob')
  cancelJob(
    _request: CancelJobRequest,
    _metadata: Metadata,
    call: ServerUnaryCall<CancelJobRequest, CancelJobResponse>,
  ): Promise<CancelJobResponse> {
    return this.calls.unary(call, async ({ request, caller }) => {
      const result = orNoSuchJob(await this.cancelJobs.cancel(jobIdOf(request.id), caller));
      return { job: await this.message(result.job) };
    });
  }

  private async page(request: ListJobsRequest, caller: Caller): Promise<ListJobsResponse> {
    const { snapshots, nextBeforeId } = await this.queryJobs.page(filterOf(request), caller);
    return { jobs: snapshots.map(jobMessage), nextPageToken: nextBeforeId === null ? '' : cursorBefore(nextBeforeId) };
  }

  private async message(job: StoredJob): Promise<Job> {
    return jobMessage(await this.queryJobs.snapshotOfChanged(job));
  }
}
