import { guardedRequest, PrivateAddressError } from '../net/guarded-request.js';

/** How one try went. `status` null: there was no answer. */
export type PostResult =
  | { readonly delivered: true; readonly status: number }
  | {
      readonly delivered: false;
      readonly status: number | null;
      readonly error: string;
      /** What the receiver asked for, in milliseconds. */
      readonly retryAfterMs: number | null;
    };

export interface PostOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
  readonly allowPrivateAddresses: boolean;
  /** Ends the try at once. */
  readonly signal: AbortSignal;
}

/**
 * Sends a message once. Redirects are not followed: the signature is meant for the address that was given. The address is
 * checked as the connection is made, so that a name cannot change its meaning in between. Never throws.
 */
export function postWebhook(url: string, options: PostOptions): Promise<PostResult> {
  const { headers, body, timeoutMs, allowPrivateAddresses, signal } = options;
  return new Promise((resolve) => {
    const fail = (error: string, status: number | null = null, retryAfterMs: number | null = null) =>
      resolve({ delivered: false, status, error, retryAfterMs });
    try {
      const request = guardedRequest(
        new URL(url),
        {
          method: 'POST',
          headers: { ...headers, 'content-length': Buffer.byteLength(body) },
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
          allowPrivateAddresses,
        },
        (response) => {
          // The answer's body is of no use; what is on its way is not read.
          response.destroy();
          const status = response.statusCode ?? 0;
          if (status >= 200 && status < 300) return resolve({ delivered: true, status });
          fail(`answered ${status}`, status, retryAfterMs(response.headers['retry-after']));
        },
      );
      request.on('error', (error: Error) => {
        const timedOut = error.name === 'AbortError' && !signal.aborted;
        fail(timedOut ? `did not answer within ${timeoutMs} ms` : messageOf(error));
      });
      // Neither an answer nor an error comes of one that would change the protocol (101): it would be waited for for ever.
      request.on('close', () => fail('closed the connection without an answer'));
      request.end(body);
    } catch (error) {
      fail(error instanceof Error ? messageOf(error) : String(error));
    }
  });
}

function messageOf(error: Error): string {
  const hint = error instanceof PrivateAddressError ? '; webhooks.allow_private_addresses permits those' : '';
  return error.message + hint;
}

/** Only the form in seconds: that in dates depends on the other side's clock. */
function retryAfterMs(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,9}$/.test(header) ? Number(header) * 1000 : null;
}
