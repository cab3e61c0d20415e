import { ProblemList } from './problem-list.js';
import { resolveWebhook } from './webhook-url.js';

function resolve(url: string | undefined, webhooksEnabled = true) {
  const problems = new ProblemList();
  return { url: resolveWebhook(url, { webhooksEnabled }, problems), problems: problems.all };
}

describe('resolveWebhook', () => {
  it.each(['https://example.org/done?job=1', 'http://10.0.0.7:8080', `https://example.org/${'x'.repeat(2028)}`])(
    'takes %s as it is',
    (url) => expect(resolve(url)).toEqual({ url, problems: [] }),
  );

  it('takes none', () => expect(resolve(undefined, false)).toEqual({ url: null, problems: [] }));

  it.each(['example.org', '', 'ftp://example.org', 'file:///etc/passwd', `https://example.org/${'x'.repeat(2029)}`])(
    'refuses %s',
    (url) => {
      const { url: taken, problems } = resolve(url);
      expect(taken).toBeNull();
      expect(problems).toEqual([
        {
          field: 'webhook',
          message: 'must be an http or https address of at most 2048 characters',
          value: url.slice(0, 80),
          limit: { protocols: ['http', 'https'], max_chars: 2048 },
        },
      ]);
    },
  );

  it('refuses credentials and does not repeat them', () => {
    const { url, problems } = resolve('https://me:secret@example.org/done');
    expect(url).toBeNull();
    expect(problems).toEqual([expect.objectContaining({ value: 'https://…@example.org/done' })]);
    expect(JSON.stringify(problems)).not.toContain('secret');
  });

  it.each([
    ['ftp://me:secret@example.org/', true, 'ftp://…@example.org/'],
    ['https://me:secret@example.org/done', false, 'https://…@example.org/done'],
    [`https://me:secret@example.org/${'x'.repeat(2048)}`, true, `https://…@example.org/${'x'.repeat(58)}`],
  ])('does not repeat the credentials of what it refuses for another reason', (given, enabled, shown) => {
    const { url, problems } = resolve(given, enabled);
    expect(url).toBeNull();
    expect(problems).toEqual([expect.objectContaining({ value: shown })]);
  });

  it('refuses every address without a key to sign with', () => {
    expect(resolve('https://example.org', false)).toMatchObject({
      url: null,
      problems: [{ message: expect.stringContaining('webhooks.secret') }],
    });
  });
});
