/** Addresses the API hands out; the routes of the controllers answer them. */
export function jobPath(id: string): string {
  return `/v1/jobs/${id}`;
}

export function artifactPath(jobId: string, index: number): string {
  return `${jobPath(jobId)}/artifacts/${index}`;
}
