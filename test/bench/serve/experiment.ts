import { ForeignLoad } from '../support/foreign-load.js';
import { diceOf } from '../support/dice.js';
import { quantile } from '../support/statistics.js';
import { offeredPerSecond } from './arrivals.js';
import { ClientWatch } from './client-watch.js';
import type { DialectClient } from './exchange.js';
import type { LoadFigures } from './figures.js';
import { figuresOf } from './figures.js';
import { HttpCalls } from './http-calls.js';
import type { Sample } from './load.js';
import { mostOpen, sendLoad } from './load.js';
import { NativeClient } from './native-client.js';
import { OpenAiClient } from './openai-client.js';
import type { LoadOptions } from './options.js';
import type { ServerUnderTest } from './own-server.js';
import type { PictureVerdict } from './pictures.js';
import { comparePictures, drawReferences } from './pictures.js';
import { distinctDrawings, planRequests } from './plan.js';
import type { ServerFacts } from './server-facts.js';
import { askServer } from './server-facts.js';
import type { Validity } from './validity.js';
import { validityOf } from './validity.js';

export interface ExperimentReport {
  readonly options: LoadOptions;
  readonly figures: LoadFigures;
  readonly pictures: PictureVerdict;
  readonly validity: Validity;
  readonly mostOpen: number;
  /** Milliseconds by which requests were sent after they were due, 99th percentile. */
  readonly sentLateP99Ms: number;
  readonly foreignProcessors: number | null;
  /** `GET /v1/system` of the server; null: it has none, or not for this key. */
  readonly system: ServerFacts['system'];
}

export interface ExperimentTerms {
  readonly server: ServerUnderTest;
  readonly apiKey: string | null;
  readonly tell: (line: string) => void;
  /** Runs beside the load, and is told when it is over. */
  readonly beside?: (over: AbortSignal) => Promise<void>;
}

/** Draws every distinct request alone, warms up, sends the load, compares its pictures. */
export async function runExperiment(
  options: LoadOptions,
  { server, apiKey, tell, beside }: ExperimentTerms,
): Promise<ExperimentReport> {
  const calls = new HttpCalls(server.url, apiKey);
  try {
    const client = clientOf(options, calls);
    const plan = planRequests(options, diceOf(options.seed));
    const references = await drawReferences(client, distinctDrawings(plan), tell);
    tell('warming up');
    const warmUp = plan.slice(0, options.warmUp).map((request) => ({ ...request, dueMs: 0 }));
    await sendLoad(warmUp, client, { concurrency: options.concurrency, onEnded: () => undefined });
    const before = await askServer(calls);
    const foreign = new ForeignLoad([process.pid]);
    const watch = new ClientWatch();
    const over = new AbortController();
    const accompanying = beside?.(over.signal) ?? Promise.resolve();
    const loading = sendLoad(plan, client, {
      concurrency: options.concurrency,
      onEnded: (ended) => tell(`${ended} of ${plan.length} answered`),
    }).finally(() => over.abort());
    // What runs beside fails the experiment at once rather than at its end.
    const [samples] = await Promise.all([loading, accompanying]);
    const load = watch.end();
    // Servers that are not ours may be on this machine or not: their own work could not be told from others'.
    const foreignProcessors = server.pid === null ? null : foreign.processors();
    const after = await askServer(calls);
    tell('comparing pictures');
    const figures = figuresOf(samples);
    return {
      options,
      figures,
      pictures: await comparePictures(samples, references),
      validity: validityOf({
        figures,
        client: load,
        lateP99Ms: latenessOf(samples.filter(({ isHeldBack }) => !isHeldBack)),
        heldBack: samples.filter(({ isHeldBack }) => isHeldBack).length,
        mostOpen: mostOpen(samples),
        offeredPerSecond: offeredPerSecond(options.arrivals),
        before,
        after,
        foreignProcessors,
      }),
      mostOpen: mostOpen(samples),
      sentLateP99Ms: latenessOf(samples),
      foreignProcessors,
      system: after.system,
    };
  } finally {
    calls.close();
  }
}

export function clientOf(
  { dialect, model, timeoutSeconds }: Pick<LoadOptions, 'dialect' | 'model' | 'timeoutSeconds'>,
  calls: HttpCalls,
): DialectClient {
  const terms = { model, timeoutSeconds };
  return dialect === 'native' ? new NativeClient(calls, terms) : new OpenAiClient(calls, terms);
}

/** Milliseconds after they were due at which requests were sent, 99th percentile. */
const latenessOf = (samples: readonly Sample[]) =>
  quantile(
    samples.map(({ sentMs, request }) => sentMs - request.dueMs),
    0.99,
  );
