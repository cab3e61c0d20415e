import { isNativeError } from 'node:util/types';

/** Refusals that are worth another try although their status is not one of a server in trouble. */
const TRANSIENT_NAMES = new Set([
  // A server that waits for a slow upload answers with status 400.
  'RequestTimeout',
  // Damaged on the way: the server compared the hash.
  'BadDigest',
  'XAmzContentSHA256Mismatch',
  // The client has corrected its idea of the server's clock by then.
  'RequestTimeTooSkewed',
  'OperationAborted',
]);

const NO_SUCH_OBJECT = new Set(['NoSuchKey', 'NotFound']);

/** Whether the same call may succeed a moment later. */
export function isTransient(error: unknown): boolean {
  if (TRANSIENT_NAMES.has(nameOf(error))) return true;
  const status = statusOf(error);
  // Without a status there was no answer: refused, reset, timed out. Missing credentials do not come by waiting.
  if (status === null) return isNativeError(error) && nameOf(error) !== 'CredentialsProviderError';
  return status >= 500 || status === 429 || status === 408;
}

export function isMissingObject(error: unknown): boolean {
  return NO_SUCH_OBJECT.has(nameOf(error));
}

/** What went wrong in one line; never more of the answer than its name and message, which hold no secret. */
export function reasonOf(error: unknown): string {
  if (!isNativeError(error)) return String(error);
  const status = statusOf(error);
  const { code } = error as NodeJS.ErrnoException;
  const name = status === null ? (code ?? error.name) : `${status} ${error.name}`;
  const message = error.message === '' || error.message === error.name ? '' : `: ${error.message}`;
  return name === 'Error' ? message.slice(2) : `${name}${message}`;
}

/** What a person does about a bucket that cannot be used. */
export function nextStepFor(error: unknown): string {
  const status = statusOf(error);
  const name = nameOf(error);
  if (name === 'NoSuchBucket' || (status === 404 && !isMissingObject(error)))
    return 'make the bucket, or correct artifacts.s3_bucket (SAFELIGHT_ARTIFACTS_S3_BUCKET).';
  if (status === 301 || status === 307 || name === 'AuthorizationHeaderMalformed')
    return 'correct artifacts.s3_region (SAFELIGHT_ARTIFACTS_S3_REGION).';
  if (name === 'CredentialsProviderError')
    return 'give artifacts.s3_access_key_id and artifacts.s3_secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.';
  if (status === 401 || status === 403)
    return 'correct the access key, and let it get, put, list and delete objects of the bucket.';
  return 'check artifacts.s3_endpoint (SAFELIGHT_ARTIFACTS_S3_ENDPOINT) and whether the server can be reached from here.';
}

function nameOf(error: unknown): string {
  return isNativeError(error) ? error.name : '';
}

/** Status of the answer; null when there was none. */
function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return null;
  return (error.$metadata as { httpStatusCode?: number }).httpStatusCode ?? null;
}
