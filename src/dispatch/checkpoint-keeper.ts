import type { Logger } from 'pino';

import type { Checkpoint } from '../domain/failure/failure.js';
import type { ArtifactStore } from '../jobs/ports/artifact-store.port.js';
import type { ClaimedJob, JobStore } from '../jobs/ports/job-store.port.js';
import type { Occurrences } from '../telemetry/occurrences.js';

/**
 * Keeps the checkpoints of one attempt where the next one finds them, one at a time; of those that come meanwhile the
 * newest. One that cannot be kept costs nothing but the steps since the one before.
 */
export class CheckpointKeeper {
  /** Where the checkpoint lies that the job's row names. */
  private key: string | null;
  private newest: Checkpoint | null = null;
  private taken: Checkpoint | null = null;
  private keeping: Promise<void> | null = null;

  constructor(
    private readonly claimed: ClaimedJob,
    private readonly store: JobStore,
    private readonly artifacts: ArtifactStore,
    private readonly occurrences: Occurrences,
    private readonly log: Logger,
  ) {
    this.key = claimed.job.checkpoint?.key ?? null;
  }

  /** Returns at once: events of the attempt must not wait for a disk. */
  offer(checkpoint: Checkpoint): void {
    if (isSame(checkpoint, this.taken)) return;
    this.newest = checkpoint;
    this.keeping ??= this.keepNewest().finally(() => {
      this.keeping = null;
    });
  }

  /** Waits until the attempt's last checkpoint is kept; null: it leaves none, and what was still to be kept is left out. */
  async settle(last: Checkpoint | null): Promise<void> {
    this.newest = null;
    if (last !== null) this.offer(last);
    await this.keeping;
  }

  /** The row names no checkpoint any more: removes what it named. */
  async drop(): Promise<void> {
    await this.remove(this.key);
    this.key = null;
  }

  private async keepNewest(): Promise<void> {
    while (this.newest !== null) {
      const checkpoint = this.newest;
      this.newest = null;
      this.taken = checkpoint;
      try {
        await this.keep(checkpoint);
      } catch (error) {
        this.occurrences.note({ type: 'checkpoint', outcome: 'lost', bytes: checkpoint.bytes });
        this.log.warn({ err: error, checkpoint }, 'the checkpoint could not be kept');
      }
    }
  }

  private async keep({ fileName, step, bytes }: Checkpoint): Promise<void> {
    const { claim, job } = this.claimed;
    const key = await this.artifacts.keepCheckpoint({ jobId: job.id, token: claim.token }, fileName);
    // When this throws, the row may name the file all the same: it is left to go with the job.
    const outcome = await this.store.recordCheckpointIfClaimed(claim, { key, step, bytes, attempt: claim.attempt });
    if (!outcome.recorded) {
      if (key !== this.key) await this.remove(key);
      return;
    }
    this.key = key;
    this.occurrences.note({ type: 'checkpoint', outcome: 'kept', bytes });
    if (outcome.replaced !== key) await this.remove(outcome.replaced);
  }

  private async remove(key: string | null): Promise<void> {
    if (key === null) return;
    await this.artifacts.dropCheckpoint(key).catch((error: unknown) => {
      this.log.warn({ err: error, key }, 'a checkpoint stays until its job is deleted');
    });
  }
}

/** The end of an attempt may name the checkpoint it told of before. */
function isSame(one: Checkpoint, other: Checkpoint | null): boolean {
  return one.fileName === other?.fileName && one.step === other.step;
}
