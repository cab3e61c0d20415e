import { parseArgs } from 'node:util';

import type { Arrivals } from './arrivals.js';
import type { MixEntry } from './mix.js';
import { parseMix } from './mix.js';

const DIALECTS = ['native', 'openai'] as const;
export type Dialect = (typeof DIALECTS)[number];

export interface LoadOptions {
  readonly dialect: Dialect;
  /** Id of the model; null: the server's default. */
  readonly model: string | null;
  readonly arrivals: Arrivals;
  readonly requests: number;
  /** Requests that may be open at a time; null: any number. */
  readonly concurrency: number | null;
  readonly mix: readonly MixEntry[];
  /** Distinct drawings of each entry of the mix. */
  readonly variants: number;
  /** Requests that are sent at once before what is measured. */
  readonly warmUp: number;
  readonly seed: number;
  /** Seconds a request may take. */
  readonly timeoutSeconds: number;
}

export interface ServeOptions extends LoadOptions {
  /** Null: a server of its own. */
  readonly url: string | null;
  readonly apiKey: string | null;
  /** The gates rather than one experiment. */
  readonly gates: boolean;
  /** Gates that only show that they run. */
  readonly quick: boolean;
  /** File for everything as JSON; null: none. */
  readonly json: string | null;
  readonly markdown: boolean;
  /** Writes the gates' report into docs/benchmarks.md. */
  readonly publish: boolean;
}

const DEFAULT_MIX = '64x64@20:3,96x64@12:2,32x32@8:1';

export const USAGE = `npm run bench:serve -- [options]

  --url URL                  the server to measure; a server of its own with the embedded model when left out
  --api-key KEY              sent as Authorization: Bearer (SAFELIGHT_API_KEY)
  --dialect native|openai    POST /v1/jobs with Prefer: wait, or POST /v1/images/generations (native)
  --model ID                 the server's default when left out
  --arrivals burst|poisson   all at once, or independent of each other (poisson)
  --rate N                   requests a second on average (4); without it a burst is one burst
  --burst N                  requests of a burst (all of them)
  --requests N               (200)
  --concurrency N            requests that may be open at a time (any number)
  --mix LIST                 [IMAGES*]WIDTHxHEIGHT@STEPS[/PRIORITY][+exact][:WEIGHT],… (${DEFAULT_MIX})
  --variants N               distinct prompts and seeds of each entry of the mix, each drawn alone first (4)
  --warm-up N                requests sent at once before what is measured (16)
  --timeout SECONDS          longest time of a request, at most 300 (120)
  --seed N                   repeats arrivals and choices (5)
  --json FILE                writes everything as JSON
  --markdown                 prints Markdown tables

  --gates                    measures the gates on a server of its own; ends with 1 when one is missed
  --quick                    with --gates: a few requests only, to see that it runs
  --publish                  with --gates: writes the report into docs/benchmarks.md
`;

/** Throws with a sentence for who typed it. */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv): ServeOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean' },
      url: { type: 'string' },
      'api-key': { type: 'string' },
      dialect: { type: 'string', default: 'native' },
      model: { type: 'string' },
      arrivals: { type: 'string', default: 'poisson' },
      rate: { type: 'string' },
      burst: { type: 'string' },
      requests: { type: 'string', default: '200' },
      concurrency: { type: 'string' },
      mix: { type: 'string', default: DEFAULT_MIX },
      variants: { type: 'string', default: '4' },
      'warm-up': { type: 'string', default: '16' },
      timeout: { type: 'string', default: '120' },
      seed: { type: 'string', default: '5' },
      json: { type: 'string' },
      markdown: { type: 'boolean', default: false },
      gates: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      publish: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  if (values.gates && values.url !== undefined)
    throw new Error(
      '--gates compares with a bare pipeline on this machine: it starts a server of its own, without --url',
    );
  if (values.publish && !values.gates) throw new Error('--publish goes with --gates');
  const requests = whole('--requests', values.requests, 1, 1_000_000);
  const dialect = oneOf('--dialect', values.dialect, DIALECTS);
  const mix = parseMix(values.mix);
  if (dialect === 'openai' && mix.some(({ exact }) => exact))
    throw new Error('--mix: "exact" has no field in the OpenAI dialect');
  return {
    url: values.url === undefined ? null : httpUrl(values.url),
    apiKey: values['api-key'] ?? env['SAFELIGHT_API_KEY'] ?? null,
    dialect,
    model: values.model ?? null,
    arrivals: arrivalsOf(values, requests),
    requests,
    concurrency: values.concurrency === undefined ? null : whole('--concurrency', values.concurrency, 1, 100_000),
    mix,
    variants: whole('--variants', values.variants, 1, 10_000),
    warmUp: whole('--warm-up', values['warm-up'], 0, 10_000),
    seed: whole('--seed', values.seed, 0, 2 ** 31),
    timeoutSeconds: whole('--timeout', values.timeout, 1, 300),
    gates: values.gates,
    quick: values.quick,
    json: values.json ?? null,
    markdown: values.markdown,
    publish: values.publish,
  };
}

function arrivalsOf(
  values: { readonly arrivals: string; readonly rate?: string; readonly burst?: string },
  requests: number,
): Arrivals {
  const pattern = oneOf('--arrivals', values.arrivals, ['burst', 'poisson'] as const);
  const rate = values.rate === undefined ? null : numberFrom('--rate', values.rate, 0.001, 100_000);
  if (pattern === 'burst') {
    const size = values.burst === undefined ? requests : whole('--burst', values.burst, 1, requests);
    return { pattern, size, ratePerSecond: rate };
  }
  if (values.burst !== undefined) throw new Error('--burst goes with --arrivals burst');
  return { pattern, ratePerSecond: rate ?? 4 };
}

function httpUrl(given: string): string {
  if (!/^https?:\/\/./.test(given) || !URL.canParse(given))
    throw new Error(`--url is an address such as http://127.0.0.1:8720, not ${given}`);
  return given;
}

function oneOf<T extends string>(option: string, given: string, words: readonly T[]): T {
  const found = words.find((word) => word === given);
  if (found === undefined) throw new Error(`${option} is one of ${words.join(', ')}, not ${given}`);
  return found;
}

function whole(option: string, given: string, min: number, max: number): number {
  const value = numberFrom(option, given, min, max);
  if (!Number.isInteger(value)) throw new Error(`${option} is a whole number, not ${given}`);
  return value;
}

function numberFrom(option: string, given: string, min: number, max: number): number {
  const value = Number(given);
  if (given.trim() === '' || !(value >= min && value <= max))
    throw new Error(`${option} is a number from ${min} to ${max}, not ${given}`);
  return value;
}
