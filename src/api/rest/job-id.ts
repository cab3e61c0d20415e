import { Problem } from '../http/problem.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function noSuchJob(): Problem {
  return new Problem('job_not_found', 'no job has this id');
}

/** What was found of a job. Throws the problem when there is none that the caller may see. */
export function orNoSuchJob<T>(found: T | null): T {
  if (found === null) throw noSuchJob();
  return found;
}

/** A job's id from the address. What is no UUID was never given out, and goes no further than this. */
export function jobIdOf(given: string): string {
  const id = given.toLowerCase();
  if (!UUID.test(id)) throw noSuchJob();
  return id;
}

export function isJobId(id: string): boolean {
  return UUID.test(id);
}
