import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { readPng } from '../../../support/png.js';
import { Caller, expecting } from '../../overhead/caller.js';
import { NullServer } from '../../overhead/null-server.js';
import { ForeignLoad } from '../../support/foreign-load.js';
import { median } from '../../support/statistics.js';
import { HttpCalls } from '../http-calls.js';
import type { NativeJob } from '../native-client.js';
import { jobOf, NativeClient } from '../native-client.js';
import { OwnServer } from '../own-server.js';
import type { Drawing } from '../plan.js';
import type { BareDrawing, BareTerms } from './bare-pipeline.js';
import { BarePipeline } from './bare-pipeline.js';

const WARM_UP = 5;
const SYNCS = 50;
const TIMEOUT_SECONDS = 60;

/** Where a served job's time went, milliseconds. */
export interface LoneJobParts {
  /** From sending to the first phase: HTTP, the row with its sync, the claim, the way to the worker. */
  readonly before: number;
  /** Encode, prepare, denoise and decode. */
  readonly drawing: number;
  /** Validate and save: the PNG and its sync. */
  readonly saving: number;
  /** From there to the answer: the file verified and moved in, the outcome with its sync, the answer. */
  readonly after: number;
}

/** Medians of the repeats, milliseconds. */
export interface LoneJobFigures {
  readonly repeats: number;
  /** diffusers' own call. */
  readonly bare: number;
  /** Encoding its picture as PNG, which a served job does within its time. */
  readonly bareEncode: number;
  readonly served: number;
  readonly parts: LoneJobParts;
  /** A job that draws nothing: what the store, the files and the hops between processes take. */
  readonly nothing: number;
  /** Writing and syncing four KiB in the server's folder. */
  readonly sync: number;
  /** Pictures with the same pixels as the bare call's. */
  readonly sameBits: number;
  readonly threads: number;
  readonly foreignProcessors: number | null;
}

/** The three take turns, so that what else goes on meets all of them. */
export async function measureLoneJob(repeats: number, tell: (line: string) => void): Promise<LoneJobFigures> {
  const closing: (() => Promise<void> | void)[] = [];
  try {
    tell('lone jobs: starting a server, one that draws nothing, and a bare pipeline');
    const server = await OwnServer.start();
    closing.push(() => server.remove());
    const nullServer = await NullServer.start('embedded');
    closing.push(() => nullServer.remove());
    const calls = new HttpCalls(server.url, null);
    closing.push(() => calls.close());
    const nullCaller = new Caller(nullServer.url, 1);
    closing.push(() => nullCaller.close());
    const { drawing, terms } = await defaultDrawing(calls);
    const bare = await BarePipeline.start(terms);
    closing.push(() => bare.stop());
    const client = new NativeClient(calls, { model: null, timeoutSeconds: TIMEOUT_SECONDS });
    const rounds: Round[] = [];
    let foreign = new ForeignLoad([process.pid]);
    for (let round = 0; round < WARM_UP + repeats; round += 1) {
      tell(`lone jobs: ${round} of ${WARM_UP + repeats}`);
      if (round === WARM_UP) foreign = new ForeignLoad([process.pid]);
      // A prompt that came before would find its text encoded already, which a bare call never does.
      const asked = { ...drawing, prompt: `${drawing.prompt}, number ${round}`, seed: drawing.seed + round };
      rounds.push({
        bare: await bare.draw(asked),
        served: await serve(client, calls, asked),
        nothing: await timed(() => expecting([200], nullCaller.submit({ prefer: `wait=${TIMEOUT_SECONDS}` }))),
      });
    }
    const foreignProcessors = foreign.processors();
    return {
      ...figuresOf(rounds.slice(WARM_UP)),
      sync: syncMs(server.folder),
      threads: bare.threads,
      foreignProcessors,
    };
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

interface Round {
  readonly bare: BareDrawing;
  readonly served: { readonly ms: number; readonly parts: LoneJobParts; readonly sha256: string };
  readonly nothing: number;
}

function figuresOf(rounds: readonly Round[]): Omit<LoneJobFigures, 'sync' | 'threads' | 'foreignProcessors'> {
  const middle = (of: (round: Round) => number) => median(rounds.map(of));
  return {
    repeats: rounds.length,
    bare: middle(({ bare }) => bare.draw_ms),
    bareEncode: middle(({ bare }) => bare.encode_ms),
    served: middle(({ served }) => served.ms),
    parts: {
      before: middle(({ served }) => served.parts.before),
      drawing: middle(({ served }) => served.parts.drawing),
      saving: middle(({ served }) => served.parts.saving),
      after: middle(({ served }) => served.parts.after),
    },
    nothing: middle(({ nothing }) => nothing),
    sameBits: rounds.filter(({ bare, served }) => bare.sha256 === served.sha256).length,
  };
}

/** One job, and where its time went; its picture is fetched off the clock. */
async function serve(client: NativeClient, calls: HttpCalls, drawing: Drawing): Promise<Round['served']> {
  const sentAt = performance.timeOrigin + performance.now();
  const answer = await client.submit(drawing, null);
  const answeredAt = performance.timeOrigin + performance.now();
  const job = jobOf(answer);
  if (job.state !== 'succeeded') throw new Error(`a lone job was answered with ${answer.status}: ${job.state}`);
  const picture = await calls.send({ method: 'GET', path: job.artifacts[0]!.url, silenceMs: 10_000 });
  const sha256 = createHash('sha256').update(readPng(picture.body).pixels).digest('hex');
  return { ms: answeredAt - sentAt, parts: partsOf(job, sentAt, answeredAt), sha256 };
}

const DRAWING_PHASES = ['encode', 'prepare', 'denoise', 'decode'];

/** From the job's own record: the same clock, to the millisecond. */
export function partsOf({ attempts }: NativeJob, sentAt: number, answeredAt: number): LoneJobParts {
  const phases = (attempts.at(-1)?.phases ?? []).map(({ name, started_at, finished_at }) => ({
    name,
    from: Date.parse(started_at),
    to: Date.parse(finished_at ?? started_at),
  }));
  const drawing = phases.filter(({ name }) => DRAWING_PHASES.includes(name));
  const began = Math.min(...drawing.map(({ from }) => from));
  const drawn = Math.max(...drawing.map(({ to }) => to));
  const saved = Math.max(drawn, ...phases.map(({ to }) => to));
  return { before: began - sentAt, drawing: drawn - began, saving: saved - drawn, after: answeredAt - saved };
}

/** What the server draws, and how, when nothing but a prompt is said. */
async function defaultDrawing(calls: HttpCalls): Promise<{ readonly drawing: Drawing; readonly terms: BareTerms }> {
  const prompt = 'a red circle on a white background';
  const headers = { prefer: `wait=${TIMEOUT_SECONDS}` };
  const silenceMs = TIMEOUT_SECONDS * 1000;
  const { effective } = jobOf(
    await calls.send({ method: 'POST', path: '/v1/jobs', json: { prompt }, headers, silenceMs }),
  );
  if (effective === null) throw new Error('the first job of the server did not succeed');
  const { width, height, num_inference_steps: steps, guidance_scale: guidanceScale, device, dtype } = effective;
  return {
    drawing: { prompt, seed: 100, width, height, steps, images: 1, exact: false },
    terms: { device: device.replace('cpu:0', 'cpu'), dtype, guidanceScale },
  };
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await act();
  return performance.now() - began;
}

function syncMs(folder: string): number {
  const file = join(folder, 'sync-probe');
  const page = Buffer.alloc(4096, 1);
  const open = openSync(file, 'w');
  try {
    const times = Array.from({ length: SYNCS }, () => {
      const began = performance.now();
      writeSync(open, page);
      fsyncSync(open);
      return performance.now() - began;
    });
    return median(times);
  } finally {
    closeSync(open);
    rmSync(file);
  }
}
