import { setTimeout as wait } from 'node:timers/promises';

import type { Dice } from '../support/dice.js';
import type { FaultName } from './fault.js';
import type { GoodClient } from './good-client.js';
import type { Accepted } from './submission.js';
import { drawManner, submit } from './submission.js';

const LOOK_EVERY_MS = 200;
const UNFINISHED = '/v1/jobs?state=scheduled,queued,running&limit=100';

export interface JobJson {
  readonly id: string;
  readonly state: string;
  readonly artifacts: readonly { readonly index: number; readonly url: string }[];
  readonly degradations: readonly { readonly rung: string; readonly fidelity: string }[];
  readonly failure: { readonly kind: string; readonly message: string } | null;
}

export interface LoadOptions {
  readonly jobs: number;
  /** Jobs that are open at a time, at most 100. */
  readonly open: number;
  readonly faults: readonly FaultName[];
  /** Epoch milliseconds after which nothing more is submitted. */
  readonly until: number;
  readonly dice: Dice;
  /** Submits beyond `jobs` while this holds. */
  readonly goesOn: () => boolean;
}

const FINAL = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

/** A bounded number of jobs in flight, each followed to its end by looking. */
export class Load {
  /** Everything accepted, in that order. */
  readonly accepted: Accepted[] = [];
  /** Last seen; null: no such job. */
  readonly final = new Map<string, JobJson | null>();
  private readonly open = new Map<string, Accepted>();
  private readonly client: GoodClient;
  private readonly options: LoadOptions;
  private submitting = 0;
  private submitted = 0;
  private failure: unknown = null;

  constructor(client: GoodClient, options: LoadOptions) {
    this.client = client;
    this.options = options;
  }

  get progress(): { readonly accepted: number; readonly final: number } {
    return { accepted: this.accepted.length, final: this.final.size };
  }

  /** Submits all, as fast as open jobs allow. */
  async submitAll(): Promise<void> {
    const { jobs, open, until, goesOn } = this.options;
    while ((this.submitted < jobs || goesOn()) && Date.now() < until) {
      while ((this.submitted < jobs || goesOn()) && this.open.size + this.submitting < open) this.submitOne();
      await this.look();
    }
    while (this.submitting > 0) await this.look();
  }

  /** Follows what is open for so long, jobs that clients hung up on too; what is open then is stuck. */
  async settle(limitMs: number): Promise<readonly Accepted[]> {
    const deadline = Date.now() + limitMs;
    while (this.open.size > 0 && Date.now() < deadline) await this.look();
    while ((await this.unfinished()).size > 0 && Date.now() < deadline) await wait(LOOK_EVERY_MS);
    return [...this.open.values()];
  }

  private submitOne(): void {
    const index = this.submitted;
    this.submitted += 1;
    this.submitting += 1;
    const dice = this.options.dice.for(`job ${index}`);
    void submit(this.client, dice, drawManner(dice, this.options.faults), new AbortController().signal)
      .then((accepted) => {
        this.accepted.push(accepted);
        this.open.set(accepted.id, accepted);
      })
      .catch((error: unknown) => (this.failure ??= error))
      .finally(() => (this.submitting -= 1));
  }

  /** One list of what is unfinished stands for a look at every open job. */
  private async look(): Promise<void> {
    await wait(LOOK_EVERY_MS);
    if (this.failure !== null) throw this.failure as Error;
    const known = [...this.open.keys()];
    if (known.length === 0) return;
    const unfinished = await this.unfinished();
    await Promise.all(
      known
        .filter((id) => !unfinished.has(id))
        .map(async (id) => {
          const { status, json: job } = await this.client.json<JobJson>(`/v1/jobs/${id}`);
          // Requeued between the two looks: the next one tells.
          if (status !== 404 && !FINAL.has(job.state)) return;
          this.final.set(id, status === 404 ? null : job);
          this.open.delete(id);
        }),
    );
  }

  private async unfinished(): Promise<ReadonlySet<string>> {
    const { json } = await this.client.json<{ data: JobJson[] }>(UNFINISHED);
    return new Set(json.data.map(({ id }) => id));
  }
}
