import type { Readable } from 'node:stream';

import type { Metadata, ServerWritableStream } from '@grpc/grpc-js';
import { Controller, Logger, UseFilters, UseGuards } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';
import type { Observable } from 'rxjs';

import type {
  Artifact,
  DownloadArtifactRequest,
  DownloadArtifactResponse,
  JobServiceService,
} from '../../gen/safelight/v1/safelight.pb.js';
import { ArtifactStore } from '../../jobs/ports/artifact-store.port.js';
import { QueryJobs } from '../../jobs/query/query-jobs.js';
import { artifactOf, noSuchArtifact } from '../rest/artifact-of.js';
import { jobIdOf, orNoSuchJob } from '../rest/job-id.js';
import { artifactMessage } from './messages/job-message.js';
import { CallAccessGuard } from './serving/access.guard.js';
import type { Incoming } from './serving/calls.js';
import { Calls } from './serving/calls.js';
import type { Handlers } from './serving/handlers.js';
import { StatusFilter } from './status/status.filter.js';

/** Largest chunk in bytes: far below the 4 MiB that clients take, and large enough that a message costs nothing. */
const CHUNK_BYTES = 256 * 1024;

/** The call that fetches what jobs made. */
@UseGuards(CallAccessGuard)
@UseFilters(StatusFilter)
@Controller()
export class GrpcArtifactsController implements Handlers<typeof JobServiceService, 'downloadArtifact'> {
  private readonly logger = new Logger(GrpcArtifactsController.name);

  constructor(
    private readonly calls: Calls,
    private readonly queryJobs: QueryJobs,
    private readonly artifacts: ArtifactStore,
  ) {}

  @GrpcMethod('JobService', 'downloadArtifact')
  downloadArtifact(
    _request: DownloadArtifactRequest,
    _metadata: Metadata,
    call: ServerWritableStream<DownloadArtifactRequest, DownloadArtifactResponse>,
  ): Observable<never> {
    return this.calls.streaming(call, (incoming) => this.download(incoming));
  }

  private async *download({
    request,
    caller,
  }: Incoming<DownloadArtifactRequest>): AsyncGenerator<DownloadArtifactResponse> {
    const jobId = jobIdOf(request.jobId);
    const snapshot = orNoSuchJob(await this.queryJobs.get(jobId, caller));
    const stored = artifactOf(snapshot.job, request.index);
    const opened = await this.artifacts.open(stored.key);
    if (opened === null) {
      this.logger.error(`artifact ${request.index} of job ${jobId} is on record, but its file is gone`);
      throw noSuchArtifact();
    }
    try {
      let artifact: Artifact | undefined = artifactMessage(stored);
      for await (const chunk of inChunks(opened.stream)) {
        yield { chunk, artifact };
        artifact = undefined;
      }
      if (artifact !== undefined) yield { chunk: Buffer.alloc(0), artifact };
    } finally {
      opened.stream.destroy();
    }
  }
}

/** What a store reads comes in pieces of any size. */
async function* inChunks(stream: Readable): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + CHUNK_BYTES - bytes);
      pieces.push(part);
      at += part.length;
      bytes += part.length;
      if (bytes < CHUNK_BYTES) continue;
      yield Buffer.concat(pieces);
      pieces = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield Buffer.concat(pieces);
}
