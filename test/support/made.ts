import type { Claim } from '../../src/jobs/ports/job-store.port.js';
import type { AnyJson, ApiAnswer, RunningApi } from './api.js';
import { PICTURE } from './api.js';
import { eventually } from './signals.js';

/** A model that can start from pictures, follow them and be changed. */
export const CAPABLE = {
  capabilities: ['text_to_image', 'image_to_image', 'inpaint', 'lora', 'controlnet'],
  loras: [{ id: 'ink', source: '/loras/ink' }],
  controlnets: [{ id: 'canny', source: '/controlnets/canny' }],
};

/** A claim on the next job that is queued. */
export function claimed(api: RunningApi): Promise<Claim> {
  return eventually('a job is queued', () => api.claim().catch(() => null));
}

interface Made {
  readonly answer: ApiAnswer;
  readonly claim: Claim;
  /** What was asked of the job. */
  readonly request: AnyJson;
}

/** Sends a request that is answered when its job is done, makes its picture, and returns the answer. Rejects with a refusal. */
export async function made(
  api: RunningApi,
  path: string,
  body: unknown,
  { picture = PICTURE, headers = {} }: { picture?: Buffer; headers?: Record<string, string> } = {},
): Promise<Made> {
  const asked = api.post(path, body, headers);
  const refused = asked.then((answer): never => {
    throw new Error(answer.text);
  });
  const claim = await Promise.race([claimed(api), refused]);
  await api.succeed(claim, picture);
  return { answer: await asked, claim, request: (await api.store.get(claim.jobId))?.request };
}
