import { readOptions } from './options.js';

const read = (...args: string[]) => readOptions(args, {});

describe('options of bench:serve', () => {
  it('are a moderate Poisson load on a server of its own when nothing is said', () => {
    expect(read()).toMatchObject({
      url: null,
      apiKey: null,
      dialect: 'native',
      arrivals: { pattern: 'poisson', ratePerSecond: 4 },
      requests: 200,
      concurrency: null,
      gates: false,
    });
  });

  it('take a burst for one burst unless a rate or a size is named', () => {
    expect(read('--arrivals', 'burst', '--requests', '50')).toMatchObject({
      arrivals: { pattern: 'burst', size: 50, ratePerSecond: null },
    });
    expect(read('--arrivals', 'burst', '--burst', '8', '--rate', '2')).toMatchObject({
      arrivals: { pattern: 'burst', size: 8, ratePerSecond: 2 },
    });
  });

  it('take the key from the environment unless one is named', () => {
    expect(readOptions([], { SAFELIGHT_API_KEY: 'from the environment' })).toMatchObject({
      apiKey: 'from the environment',
    });
    expect(readOptions(['--api-key', 'named'], { SAFELIGHT_API_KEY: 'other' })).toMatchObject({ apiKey: 'named' });
  });

  it.each([
    [['--dialect', 'fal'], '--dialect is one of native, openai'],
    [['--arrivals', 'even'], '--arrivals is one of burst, poisson'],
    [['--rate', '0'], '--rate is a number from'],
    [['--requests', '1.5'], '--requests is a whole number'],
    [['--requests', ''], '--requests is a number'],
    [['--burst', '4'], '--burst goes with --arrivals burst'],
    [['--url', 'localhost:8720'], '--url is an address'],
    [['--url', 'http://127.0.0.1:1', '--gates'], 'without --url'],
    [['--publish'], '--publish goes with --gates'],
    [['--dialect', 'openai', '--mix', '64x64@20+exact'], 'no field in the OpenAI dialect'],
  ])('refuse %p with a sentence', (args, sentence) => expect(() => read(...args)).toThrow(sentence));
});
