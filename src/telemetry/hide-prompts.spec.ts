import { pino } from 'pino';

import { HIDDEN_PROMPT, hidingPrompts, promptHider } from './hide-prompts.js';

const request = { prompt: 'a fox in the snow', negative_prompt: 'blurry' };

describe('promptHider', () => {
  const hide = promptHider(request);

  it('hides fields that hold a prompt, and leaves the others', () => {
    expect(hide({ effective: { prompt: 'whatever', steps: 20 }, list: [{ negative_prompt: 'x' }] })).toEqual({
      effective: { prompt: HIDDEN_PROMPT, steps: 20 },
      list: [{ negative_prompt: HIDDEN_PROMPT }],
    });
  });

  it.each([
    ['inside a message', 'cannot read "A fox in the snow", it is odd', `cannot read "${HIDDEN_PROMPT}", it is odd`],
    ['twice', 'blurry; blurry', `${HIDDEN_PROMPT}; ${HIDDEN_PROMPT}`],
    ['not as part of a word', 'unblurry', 'unblurry'],
    ['not where there is none', 'CUDA error', 'CUDA error'],
  ])('hides a prompt in other texts: %s', (_case, text, expected) => {
    expect(hide({ failure: { message: text } })).toEqual({ failure: { message: expected } });
  });

  it('hides prompts that are quoted, or shown by line', () => {
    const of = promptHider({ prompt: 'first line\nsecond "line"', negative_prompt: '' });
    expect(of({ text: JSON.stringify({ x: 'first line\nsecond "line"' }) })).toEqual({
      text: `{"x":"${HIDDEN_PROMPT}"}`,
    });
    expect(of({ text: 'ValueError: first line' })).toEqual({ text: `ValueError: ${HIDDEN_PROMPT}` });
  });

  it('hides them in errors, causes included', () => {
    const error = new Error('no a fox in the snow', { cause: new Error('a fox in the snow!') });
    const shown = JSON.stringify(hide({ err: error }));
    expect(shown).toContain(`no ${HIDDEN_PROMPT}`);
    expect(shown).not.toMatch(/fox/);
  });

  it('leaves the lines of a log what they are otherwise', () => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
    const log = hidingPrompts(pino({ base: null }, { write }), { job: 'one', attempt: 2 }, request);
    log.warn({ err: new TypeError('odd: a fox in the snow'), at: new Date(0), none: null }, 'told');
    expect(lines).toEqual([
      {
        level: 40,
        time: expect.any(Number),
        job: 'one',
        attempt: 2,
        at: '1970-01-01T00:00:00.000Z',
        none: null,
        msg: 'told',
        err: {
          type: 'TypeError',
          message: `odd: ${HIDDEN_PROMPT}`,
          stack: expect.stringContaining('hide-prompts.spec'),
        },
      },
    ]);
  });

  it('takes no pattern from a prompt', () => {
    expect(promptHider({ prompt: '(.*)+$', negative_prompt: 'a' })({ text: 'a plain text' })).toEqual({
      text: 'a plain text',
    });
  });
});
