import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

import { atExit } from '../../support/at-exit.js';
import type { Drawing } from '../plan.js';

const PYTHON = 'python-worker/.venv/bin/python';
const SCRIPT = 'python-worker/bench/bare_pipeline.py';
/** The embedded model. */
const MODEL = 'python-worker/models/shapes';
const START_LIMIT_MS = 180_000;
const DRAW_LIMIT_MS = 120_000;
/** Of what libraries say, kept for when the process ends early. */
const SAID_CHARACTERS = 4000;

export interface BareDrawing {
  /** Milliseconds of the pipeline's call. */
  readonly draw_ms: number;
  /** Milliseconds of its picture's encoding as PNG. */
  readonly encode_ms: number;
  /** Of the pixels. */
  readonly sha256: string;
}

/** As a served job was really run. */
export interface BareTerms {
  /** As torch names it. */
  readonly device: string;
  /** Such as `float32`. */
  readonly dtype: string;
  readonly guidanceScale: number;
}

/** diffusers' own call on the embedded model in a warm Python process. */
export class BarePipeline {
  /** torch computes with on the CPU. */
  threads = 0;
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;
  private readonly guidanceScale: number;
  private said = '';

  private constructor({ device, dtype, guidanceScale }: BareTerms) {
    this.guidanceScale = guidanceScale;
    const child = spawn(resolve(PYTHON), [resolve(SCRIPT), resolve(MODEL), device, dtype], {
      env: { ...process.env, HF_HUB_OFFLINE: '1' },
    });
    this.child = child;
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.on('data', (chunk: Buffer) => {
      this.said = (this.said + chunk.toString()).slice(-SAID_CHARACTERS);
    });
    child.once(
      'exit',
      atExit(() => child.kill('SIGKILL')),
    );
  }

  /** Resolves when the model is loaded. */
  static async start(terms: BareTerms): Promise<BarePipeline> {
    const bare = new BarePipeline(terms);
    try {
      const ready = (await bare.nextLine(START_LIMIT_MS)) as { readonly threads: number };
      bare.threads = ready.threads;
      return bare;
    } catch (error) {
      bare.child.kill('SIGKILL');
      throw error;
    }
  }

  async draw({ prompt, seed, width, height, steps }: Drawing): Promise<BareDrawing> {
    const call = { prompt, seed, width, height, steps, guidance_scale: this.guidanceScale };
    this.child.stdin.write(`${JSON.stringify(call)}\n`);
    return (await this.nextLine(DRAW_LIMIT_MS)) as BareDrawing;
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.stdin.end();
    await gone;
  }

  /** Throws when none comes in time, or the process has ended. */
  private async nextLine(limitMs: number): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the bare pipeline did not answer within ${limitMs} ms`)), limitMs);
    });
    try {
      const line = await Promise.race([this.lines.next(), late]);
      if (line.done) throw new Error(`the bare pipeline ended: ${this.said}`);
      return JSON.parse(line.value) as unknown;
    } finally {
      clearTimeout(timer);
    }
  }
}
