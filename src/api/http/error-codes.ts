/** One kind of refusal or failure the API answers with. */
interface ErrorEntry {
  readonly status: number;
  /** Short and always the same for a code, as RFC 9457 asks. */
  readonly title: string;
  /** What it means and what to do about it; one line of the reference page. */
  readonly meaning: string;
}

/** The one table of codes. The words are stable: clients branch on them. */
const TABLE = {
  malformed_json: {
    status: 400,
    title: 'The body is not valid JSON',
    meaning: 'The detail tells the position of the first error, counted in characters from 0, with line and column.',
  },
  malformed_request: {
    status: 400,
    title: 'The request cannot be read',
    meaning:
      'The address has a broken percent escape; or the body ended early, is not UTF-8, nests too deep or holds too many values.',
  },
  unauthorized: {
    status: 401,
    title: 'A key is needed',
    meaning:
      'The request brings no API key, or one that this server does not know. Send it as `Authorization: Bearer KEY`, as `X-Api-Key: KEY` or as the password of basic authentication.',
  },
  forbidden: {
    status: 403,
    title: 'The key may not do this',
    meaning: 'The role of the API key does not reach that far; `detail` names the roles that do.',
  },
  not_found: {
    status: 404,
    title: 'There is no such address',
    meaning: 'Nothing is served under this path. `/openapi.json` lists what is.',
  },
  job_not_found: {
    status: 404,
    title: 'There is no such job',
    meaning: 'The id was never given out, or the job was deleted after the time of retention.',
  },
  artifact_not_found: {
    status: 404,
    title: 'There is no such artifact',
    meaning: 'The job has no picture with this index (yet); `artifacts` of the job lists those it has.',
  },
  preview_not_found: {
    status: 404,
    title: 'There is no preview',
    meaning: 'The job is not running, or has not sent a preview frame yet. Asking turns previews on: ask again.',
  },
  model_not_found: {
    status: 404,
    title: 'There is no such model',
    meaning: '`GET /v1/models` lists the models this server was told to serve.',
  },
  worker_not_found: {
    status: 404,
    title: 'There is no such worker',
    meaning: 'This node has no worker with this id; `errors` lists those it has. Ask the node of the worker.',
  },
  method_not_allowed: {
    status: 405,
    title: 'The address does not take this method',
    meaning: 'The header `Allow` lists the methods it takes.',
  },
  idempotency_conflict: {
    status: 409,
    title: 'The idempotency key was used with another body',
    meaning: 'Send the same body again to get the same job, or use a new key for another body.',
  },
  body_too_large: {
    status: 413,
    title: 'The body is too large',
    meaning:
      'The limit of a submission is the setting `http.max_body_bytes`, that of any other request `http.body_limit_bytes`.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The body is of a type that is not taken here',
    meaning: 'Send `Content-Type: application/json`, in UTF-8 and not compressed.',
  },
  invalid_request: {
    status: 422,
    title: 'Some fields cannot be accepted',
    meaning:
      'An unknown field, a wrong type or a value out of range. `errors` names every field at fault with its value and what would be accepted. Nothing was enqueued.',
  },
  queue_full: {
    status: 429,
    title: 'The queue is full',
    meaning: 'Nothing was enqueued. `Retry-After` tells in how many seconds a place is likely free.',
  },
  quota_exceeded: {
    status: 429,
    title: 'The key has used up its share',
    meaning:
      'A limit of the API key: unfinished jobs, jobs a minute or pictures a day; `errors` tells which, how much is used and when it renews. Nothing was enqueued. `Retry-After` tells in how many seconds to try again.',
  },
  deadline_infeasible: {
    status: 429,
    title: 'A deadline cannot be met',
    meaning:
      'Too many jobs wait before `start_by` or `finish_by` at the rate of the last minute; `errors` tells when it would be. Nothing was enqueued. `Retry-After` tells in how many seconds to try again; a later deadline is taken at once.',
  },
  internal: {
    status: 500,
    title: 'Something went wrong inside the server',
    meaning: 'A defect. The server log has the cause; nothing of it is shown to clients.',
  },
  unavailable: {
    status: 503,
    title: 'The server cannot keep jobs now',
    meaning:
      'The store of jobs or of pictures does not answer: its disk is full, or the server drains or stops. Try again: nothing was written, unless `detail` says that it is not known.',
  },
  not_ready: {
    status: 503,
    title: 'No worker can take work now',
    meaning:
      '`GET /health/ready` answers it with the reason of every worker, also while the node drains. Jobs are accepted and wait, but for those whose deadline is too near to wait for a worker.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof TABLE;
export const ERRORS: Readonly<Record<ErrorCode, ErrorEntry>> = TABLE;
export const ERROR_CODES = Object.keys(TABLE) as readonly ErrorCode[];

/** The code for an error that only knows its HTTP status, such as one thrown by a library. */
export function codeOfStatus(status: number): ErrorCode {
  const exact: Partial<Record<number, ErrorCode>> = {
    401: 'unauthorized',
    403: 'forbidden',
    404: 'not_found',
    413: 'body_too_large',
    415: 'unsupported_media_type',
  };
  return exact[status] ?? (status >= 400 && status < 500 ? 'malformed_request' : 'internal');
}
