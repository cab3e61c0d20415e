import { once } from 'node:events';

import { Injectable, Logger } from '@nestjs/common';
import type { Request, Response } from 'express';

import type { Caller } from '../../domain/access/caller.js';
import type { Job } from '../../domain/job/job.js';
import { ArtifactStore } from '../../jobs/ports/artifact-store.port.js';
import { Clock } from '../../jobs/ports/clock.port.js';
import { openArtifact } from '../../jobs/query/open-artifact.js';
import type { SubmitResult } from '../../jobs/submit/submit-jobs.js';
import { SubmitJobs } from '../../jobs/submit/submit-jobs.js';
import { unlessAway } from '../../jobs/unless-away.js';
import { WaitForJob } from '../../jobs/watch/wait-for-job.js';
import { WatchJob } from '../../jobs/watch/watch-job.js';
import { ArtifactLinks } from '../access/artifact-links.js';
import { callerOf } from '../http/caller-of.js';
import { CANCEL_AFTER, cancelAfterMs } from '../http/cancel-after.js';
import { untilClosed } from '../http/client-gone.js';
import type { StreamEvent } from '../http/event-stream.js';
import { EventStream } from '../http/event-stream.js';
import { idempotencyKeyOf } from '../http/idempotency-key.js';
import { goesOnWhenClientLeaves, ON_DISCONNECT } from '../http/on-disconnect.js';
import { Problem } from '../http/problem.js';
import { releaseBody } from '../http/release-body.js';
import { jobPath } from '../rest/paths.js';
import { takenJobs } from '../rest/taken-jobs.js';
import type { ImageFiles } from './images-answer.js';
import { imagesAnswer } from './images-answer.js';
import { parameterFault, ParameterProblem } from './parameter-problem.js';
import type { AnswerTerms, AskedImages } from './read-parameters.js';
import type { ImagesTask } from './stream-images.js';
import { completedImages, errorEvent, partialImages } from './stream-images.js';
import { brokenOff, imagesFailure } from './images-failure.js';

/** Where clients of this dialect, which has no jobs, find the one behind an answer. */
export const JOB_ID = 'Safelight-Job-Id';

/** Their clients send a request again by themselves after a 409 or a 5xx, unless this says that it would be for nothing. */
const SHOULD_RETRY = 'x-should-retry';

/** A request that is being served, and the answer to it. */
interface Served {
  readonly terms: AnswerTerms;
  readonly task: ImagesTask;
  readonly request: Request;
  readonly response: Response;
  /** Aborts when the client has gone. */
  readonly gone: AbortSignal;
  readonly caller: Caller;
  /** Nobody can ask for the job again. */
  readonly cancelWhenGone: boolean;
}

/** From what was asked for to the pictures: a job like any other, and an answer that waits for it. */
@Injectable()
export class ServeImages {
  private readonly logger = new Logger(ServeImages.name);

  constructor(
    private readonly submitJobs: SubmitJobs,
    private readonly waitForJob: WaitForJob,
    private readonly watchJob: WatchJob,
    private readonly artifacts: ArtifactStore,
    private readonly links: ArtifactLinks,
    private readonly clock: Clock,
  ) {}

  /** `read`: called once; what it reads is let go of before the job is waited for, which may take as long as the queue is. */
  async serve(read: () => Promise<AskedImages>, task: ImagesTask, request: Request, response: Response): Promise<void> {
    const gone = untilClosed(response);
    const { job, ...submitted } = await this.submit(read, gone, request, response);
    releaseBody(request);
    response.setHeader(JOB_ID, job.id);
    response.setHeader('Location', jobPath(job.id));
    const served = { ...submitted, task, request, response, gone };
    await (served.terms.stream ? this.stream(job, served) : this.answer(job, served));
  }

  private async submit(
    read: () => Promise<AskedImages>,
    gone: AbortSignal,
    request: Request,
    response: Response,
  ): Promise<Pick<Served, 'terms' | 'caller' | 'cancelWhenGone'> & { readonly job: Job }> {
    const { input, terms } = await read();
    const { key, goesOn, within } = submissionHeaders(request);
    const caller = callerOf(request);
    const result = await this.submitJobs.submit([{ ...input, ...within }], key, { caller, gone });
    return { job: takenJob(result, key !== null, response), terms, caller, cancelWhenGone: key === null && !goesOn };
  }

  private async answer(submitted: Job, served: Served): Promise<void> {
    const { terms, response, gone, caller, cancelWhenGone } = served;
    const job = await this.waitForJob.outcome(submitted, { seconds: null, gone, cancelWhenGone, caller });
    if (gone.aborted) return;
    const failure = imagesFailure(job);
    if (failure !== null) {
      // It was tried as often as makes sense.
      response.setHeader(SHOULD_RETRY, 'false');
      response.status(failure.status).json(failure.envelope);
      return;
    }
    const pieces = imagesAnswer(job, terms, this.filesOf(job, served));
    // What fails here can still be told.
    const first = await pieces.next();
    response.status(200).setHeader('Content-Type', 'application/json; charset=utf-8');
    await writeAll(first, pieces, response, gone);
  }

  private async stream(submitted: Job, served: Served): Promise<void> {
    const { response, gone, caller, cancelWhenGone } = served;
    const stream = new EventStream(response, gone);
    try {
      await this.tellImages(submitted, served, stream).catch(async (error: unknown) => {
        if (gone.aborted) throw error;
        this.logger.error(`the pictures of job ${submitted.id} cannot be told: ${String(error)}`);
        await stream.send(errorEvent(brokenOff(submitted)));
      });
    } catch (error) {
      // A client that goes away while it is written to is a usual end of a stream, and of its job.
      if (!gone.aborted) throw error;
      if (cancelWhenGone) await this.waitForJob.callOff(submitted, caller);
    } finally {
      stream.end();
    }
  }

  private async tellImages(submitted: Job, served: Served, stream: EventStream): Promise<void> {
    const { terms, task, gone, caller, cancelWhenGone } = served;
    if (terms.partialImages > 0) {
      const items = this.watchJob.follow(submitted.id, { afterSeq: 0, previews: true, signal: gone });
      const now = () => this.clock.now();
      await unlessAway(sendAll(partialImages(items, { job: submitted, task, terms, now }), stream));
    }
    const job = await this.waitForJob.outcome(submitted, { seconds: null, gone, cancelWhenGone, caller });
    if (gone.aborted) return;
    const failure = imagesFailure(job);
    if (failure === null) await sendAll(completedImages(job, { task, terms }, this.filesOf(job, served)), stream);
    else await stream.send(errorEvent(failure));
  }

  private filesOf(job: Job, { request }: Served): ImageFiles {
    return {
      url: ({ index }) => this.links.absolute(request, job.id, index),
      open: (artifact) => openArtifact(this.artifacts, job, artifact),
    };
  }
}

async function sendAll(events: AsyncIterable<StreamEvent>, stream: EventStream): Promise<void> {
  for await (const event of events) await stream.send(event);
}

/** Headers that the native resource has for submissions too. */
function submissionHeaders(request: Request) {
  try {
    const within = cancelAfterMs(request.header(CANCEL_AFTER));
    return {
      key: idempotencyKeyOf(request.header('idempotency-key')),
      goesOn: goesOnWhenClientLeaves(request.header(ON_DISCONNECT)),
      within: within === undefined ? {} : { finish_within_ms: within },
    };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new ParameterProblem((error.facts.errors ?? []).map(parameterFault));
  }
}

/** The job a submission led to; throws the problem when it led to none. */
function takenJob(result: SubmitResult, hasKey: boolean, response: Response): Job {
  if (result.outcome === 'invalid') throw new ParameterProblem(result.problems.map(parameterFault));
  // Another body will not do, and a job that may be there would be made twice.
  if (result.outcome === 'conflict' || (result.outcome === 'unknown' && !hasKey))
    response.setHeader(SHOULD_RETRY, 'false');
  return takenJobs(result, hasKey).jobs[0] as Job;
}

/** Writes as fast as the client reads. Throws when a file fails half-way, which cuts the answer off. */
async function writeAll(
  first: IteratorResult<string>,
  rest: AsyncGenerator<string>,
  response: Response,
  gone: AbortSignal,
): Promise<void> {
  try {
    for (let piece = first; !piece.done; piece = await rest.next()) {
      if (!response.write(piece.value)) await once(response, 'drain', { signal: gone });
    }
    response.end();
  } catch (error) {
    if (!gone.aborted) throw error;
  } finally {
    await rest.return(undefined);
  }
}
