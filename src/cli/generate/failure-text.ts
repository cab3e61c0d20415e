import type { JobJson } from '../client/wire.js';

const NEXT_STEPS: Readonly<Record<string, string>> = {
  device_out_of_memory: 'ask for a smaller size or fewer images, or free memory on the device.',
  model_unavailable: 'see with `safelight doctor` what is wrong with the model.',
  invalid_request: 'change the request.',
  rejected_output: 'try another seed.',
  cancelled: 'submit it again; somebody else cancelled it.',
  deadline_exceeded: 'submit it when less is queued.',
};

const OTHER_NEXT_STEP = 'look into the log of the server; `safelight doctor` looks at the machine.';

/** Why a job has no picture, and what to do about it. */
export function failureText({
  id,
  state,
  attempts,
  failure,
}: Pick<JobJson, 'id' | 'state' | 'attempts' | 'failure'>): string {
  const count = attempts.length === 1 ? '1 attempt' : `${attempts.length} attempts`;
  const lines = [`The job ${id} ${state === 'failed' ? 'failed' : `is ${state}`} after ${count}.`];
  if (failure !== null) lines.push(`  ${failure.kind}${whereText(failure)}: ${failure.message}`);
  lines.push(`Next: ${NEXT_STEPS[failure?.kind ?? state] ?? OTHER_NEXT_STEP}`);
  return lines.join('\n');
}

function whereText({ phase, step }: NonNullable<JobJson['failure']>): string {
  if (phase === null) return '';
  return phase === 'denoise' ? ` in ${phase} at step ${step}` : ` in ${phase}`;
}
