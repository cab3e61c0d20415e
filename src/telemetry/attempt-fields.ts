/** Fields of log lines that concern an attempt. */
export interface AttemptFields {
  /** Id of the job. */
  readonly job: string;
  /** Number of the attempt, from 1. */
  readonly attempt: number;
}

/** From the id an attempt has with its worker, `<job>/<number>`. */
export function attemptFields(attemptId: string): AttemptFields {
  const slash = attemptId.lastIndexOf('/');
  return { job: attemptId.slice(0, slash), attempt: Number(attemptId.slice(slash + 1)) };
}
