import { loraTag, readPromptTags } from './prompt-tags.js';

describe('tags in a prompt', () => {
  it.each([
    ['a cat', 'a cat', []],
    ['a (cat:1.2) [dog] \\(x\\)', 'a (cat:1.2) [dog] \\(x\\)', []],
    ['a cat <lora:ink:0.8>', 'a cat', [{ id: 'ink', weight: 0.8 }]],
    [
      '<lora:ink> a cat, <LORA:paper:-1>',
      'a cat,',
      [
        { id: 'ink', weight: 1 },
        { id: 'paper', weight: -1 },
      ],
    ],
    ['a <lora:ink:0.5:0.5>', 'a', [{ id: 'ink', weight: 0.5 }]],
    ['a <lora:ink:te=0.5:unet=0.5>', 'a', [{ id: 'ink', weight: 0.5 }]],
    ['a <lyco:ink:2>', 'a', [{ id: 'ink', weight: 2 }]],
    ['1 < 2 <b> <lora>', '1 < 2 <b> <lora>', []],
  ])('%s', (prompt, text, loras) => {
    expect(readPromptTags(prompt)).toEqual({ text, loras, problems: [] });
  });

  it.each(['<lora:ink:half>', '<lora::1>', '<lora:ink:0.5:1>', '<lora:ink:1:1:8>', '<hypernet:ink:1>', '<lora:ink:>'])(
    '%s is refused',
    (tag) => {
      const { problems } = readPromptTags(`a cat ${tag}`);
      expect(problems).toEqual([expect.objectContaining({ field: 'prompt', value: tag })]);
    },
  );

  it('are read up to a number, beyond which nothing is made of them', () => {
    const tags = (count: number) => Array.from({ length: count }, (_, index) => `<lora:ink${index}>`).join('');
    expect(readPromptTags(tags(16)).loras).toHaveLength(16);
    const { loras, problems } = readPromptTags(tags(100_000));
    expect(loras).toHaveLength(0);
    expect(problems).toEqual([
      { field: 'prompt', message: 'must hold at most 16 tags', value: '<lora:ink16>', limit: { max_tags: 16 } },
    ]);
  });

  it('are written as they are read', () => {
    const lora = { id: 'ink', weight: 0.35 };
    expect(readPromptTags(loraTag(lora)).loras).toEqual([lora]);
  });
});
