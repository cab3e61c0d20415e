import type { Job } from '../domain/job/job.js';
import type { Priority } from '../domain/job/priority.js';
import { PRIORITIES, sortAt } from '../domain/job/priority.js';
import type { JobStore } from '../jobs/ports/job-store.port.js';

/** Jobs of a class looked at for those of other clients than the first, which may be served before it. */
const JOBS_LOOKED_AT = 100;

/** The jobs of a model that may be the next to be claimed, the first of the queue ahead; empty: none waits. */
export async function headsOf(store: JobStore, model: string): Promise<readonly Job[]> {
  const first = await firstOf(store, model);
  return first === null ? [] : [first, ...(await firstOfOtherClients(store, first))];
}

/** Of the whole queue of a model; null: none waits. */
export async function firstOf(store: JobStore, model: string): Promise<Job | null> {
  const heads: Job[] = [];
  for (const priority of PRIORITIES) {
    const job = await firstInClass(store, priority, model);
    if (job !== null) heads.push(job);
  }
  return heads.toSorted(inOrder)[0] ?? null;
}

/** Clients take turns in a class, so that one of these may be given in place of the first. */
export async function firstOfOtherClients(store: JobStore, { client, request }: Job): Promise<readonly Job[]> {
  const { model, priority } = request;
  const jobs = await store.list({ states: ['queued'], model, priority, limit: JOBS_LOOKED_AT });
  const byClient = new Map<string, Job>();
  for (const job of jobs.toSorted(inOrder)) {
    if (job.client !== client && !byClient.has(job.client)) byClient.set(job.client, job);
  }
  return [...byClient.values()];
}

/** In the order of the queue. */
export function inOrder(a: Job, b: Job): number {
  const order = ({ request, createdAt }: Job) => sortAt(request.priority, createdAt);
  return order(a) - order(b) || (a.id < b.id ? -1 : 1);
}

async function firstInClass(store: JobStore, priority: Priority, model: string): Promise<Job | null> {
  const found = await store.firstQueued(priority, [model]);
  return found === null ? null : store.get(found.id);
}
