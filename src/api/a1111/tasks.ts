import { randomBytes } from 'node:crypto';

import { Injectable } from '@nestjs/common';

import type { Caller } from '../../domain/access/caller.js';
import type { JobState } from '../../domain/job/job-state.js';
import { isFinal } from '../../domain/job/job-state.js';
import type { JobSnapshot } from '../../jobs/query/query-jobs.js';
import { QueryJobs } from '../../jobs/query/query-jobs.js';

/** Word among a job's metadata that makes it one of this dialect; its value is the id of the task. */
export const TASK_KEY = 'a1111_task';

const UNFINISHED: readonly JobState[] = ['scheduled', 'queued', 'running'];

/** Jobs of a caller that are looked through for tasks this node does not hold. */
const MAX_LOOKED_AT = 100;

/** Tasks that are remembered to have ended; AUTOMATIC1111 remembers 16. */
const MAX_FINISHED = 256;

/** A request that a client holds its connection open for. */
interface Task {
  readonly id: string;
  readonly jobId: string;
  readonly client: string;
}

/**
 * The requests of this dialect that are under way, for those who ask how far they are and who stop them: always those of one
 * caller. Held in memory where the connection is; what another node holds is found in the store.
 */
@Injectable()
export class Tasks {
  private readonly held = new Set<Task>();
  private finished: Task[] = [];

  constructor(private readonly queryJobs: QueryJobs) {}

  /** Whoever holds a task releases it. */
  hold(task: Task): () => void {
    this.held.add(task);
    return () => {
      this.held.delete(task);
      this.finished = [...this.finished, task].slice(-MAX_FINISHED);
    };
  }

  /** Jobs of the caller's tasks that are not final, those that run first, then in the order they came. */
  async unfinished(caller: Caller, taskId: string | null): Promise<readonly JobSnapshot[]> {
    const here = [...this.held].filter((task) => isAskedFor(task, caller, taskId));
    const found = here.length > 0 ? await this.read(here, caller) : await this.elsewhere(caller, taskId);
    const open = found.filter(({ job }) => !isFinal(job.state));
    const order = ({ job }: JobSnapshot) => (job.state === 'running' ? `0${job.id}` : `1${job.id}`);
    return open.toSorted((one, other) => (order(one) < order(other) ? -1 : 1));
  }

  hasFinished(caller: Caller, taskId: string): boolean {
    return this.finished.some((task) => isAskedFor(task, caller, taskId));
  }

  private async read(tasks: readonly Task[], caller: Caller): Promise<readonly JobSnapshot[]> {
    const found = await Promise.all(tasks.map(({ jobId }) => this.queryJobs.get(jobId, asUser(caller))));
    return found.filter((snapshot) => snapshot !== null);
  }

  private async elsewhere(caller: Caller, taskId: string | null): Promise<readonly JobSnapshot[]> {
    const jobs = await this.queryJobs.list({ states: UNFINISHED, limit: MAX_LOOKED_AT }, asUser(caller));
    return jobs.filter(({ job }) => {
      const id = job.request.metadata[TASK_KEY];
      return id !== undefined && (taskId === null || id === taskId);
    });
  }
}

/** An id as AUTOMATIC1111 gives them to requests that bring none. */
export function newTaskId(kind: string): string {
  return `task(${kind}-${randomBytes(8).toString('hex')})`;
}

function isAskedFor(task: Task, { client }: Caller, taskId: string | null): boolean {
  return task.client === client && (taskId === null || task.id === taskId);
}

/** Sees jobs of the same key only, also where the key may see all. */
function asUser(caller: Caller): Caller {
  return { ...caller, role: 'user' };
}
