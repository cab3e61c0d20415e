import type { Artifact, Job } from '../../domain/job/job.js';
import { Problem } from '../http/problem.js';

export function noSuchArtifact(): Problem {
  return new Problem('artifact_not_found', 'the job has no artifact with this index');
}

/** Throws the problem when there is none. */
export function artifactOf({ artifacts }: Job, wanted: number): Artifact {
  const artifact = artifacts.find(({ index }) => index === wanted);
  if (artifact === undefined) throw noSuchArtifact();
  return artifact;
}
