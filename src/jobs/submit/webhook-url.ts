import type { ProblemList } from './problem-list.js';

/** As long as an address may be in what browsers and proxies carry. */
const MAX_CHARS = 2048;

/** Enough to know it again. */
const SHOWN_CHARS = 80;

/** The address to tell when the job is final; null: nobody. Problems are added to the list. */
export function resolveWebhook(
  url: string | undefined,
  { webhooksEnabled }: { webhooksEnabled: boolean },
  problems: ProblemList,
): string | null {
  if (url === undefined) return null;
  const parsed = URL.canParse(url) ? new URL(url) : null;
  const hasCredentials = parsed !== null && (parsed.username !== '' || parsed.password !== '');
  // Credentials are not repeated in the answer, where they would end up in logs.
  const whole = hasCredentials ? `${parsed.protocol}//…@${parsed.host}${parsed.pathname}` : url;
  const refuse = (message: string, limit: unknown) => {
    problems.add('webhook', message, whole.slice(0, SHOWN_CHARS), limit);
    return null;
  };
  if (!webhooksEnabled) return refuse('webhooks need a key to be signed with: set webhooks.secret', { absent: true });
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol) || url.length > MAX_CHARS) {
    const limit = { protocols: ['http', 'https'], max_chars: MAX_CHARS };
    return refuse(`must be an http or https address of at most ${MAX_CHARS} characters`, limit);
  }
  if (hasCredentials) return refuse('must hold no user name or password', { absent: ['username', 'password'] });
  return url;
}
