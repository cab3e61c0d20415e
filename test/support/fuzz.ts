import { execa } from 'execa';

/** Requests that each operation gets of every kind; with some forty operations that is half a minute. */
const EXAMPLES = 8;

/** Not called: they would take the server, or its worker, away from the rest of the run. */
const LEFT_OUT = ['/v1/node/drain', '/v1/workers/{id}/drain'];

export interface FuzzResult {
  readonly isClean: boolean;
  /** What the fuzzer printed: each failure with a request that repeats it. */
  readonly report: string;
}

/**
 * Sends every route of a server what its OpenAPI document allows and what it forbids. The same seed sends the same. A failure is
 * an answer of 5xx, one that does not come within the time, or one of another kind than the document says.
 */
export async function fuzz(url: string, seed: number, timeoutSeconds = 20): Promise<FuzzResult> {
  const run = await execa(
    'python-worker/.venv/bin/schemathesis',
    [
      'run',
      `${url}/openapi.json`,
      '--url',
      url,
      '--phases=examples,coverage,fuzzing',
      '--checks=not_a_server_error,content_type_conformance,response_schema_conformance',
      `--max-examples=${EXAMPLES}`,
      `--seed=${seed}`,
      `--request-timeout=${timeoutSeconds}`,
      '--workers=2',
      '--continue-on-failure',
      '--generation-database=none',
      '--suppress-health-check=all',
      '--no-color',
      '--warnings=off',
      ...LEFT_OUT.map((path) => `--exclude-path=${path}`),
    ],
    { reject: false, all: true, timeout: 600_000, forceKillAfterDelay: 5_000 },
  );
  return { isClean: run.exitCode === 0, report: run.all };
}
