import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

import { Injectable, Optional } from '@nestjs/common';

import { NodeConfig } from '../config/node.config.js';
import { StorageConfig } from '../config/storage.config.js';
import type { ImageRef } from '../domain/generation/image-ref.js';
import type { InputFile, StagedFile } from '../jobs/ports/artifact-store.port.js';
import type { ArtifactTransfer } from '../jobs/ports/artifact-transfer.port.js';
import type { Attempt } from './artifact-keys.js';
import {
  artifactKey,
  attemptFolder,
  checkpointKey,
  checkpointsFolder,
  inputKey,
  jobFolder,
  keyOfJob,
  plainName,
  safeKey,
} from './artifact-keys.js';
import type { Move } from './durable-file.js';
import { moveIn, syncFolder, writeExactly, writeSynced } from './durable-file.js';
import { DamagedFileError, isThere, sizeOf, verifyFile } from './file-facts.js';
import { orUnavailable } from './or-unavailable.js';
import { StagedArtifactStore } from './staged-artifact-store.js';
import { StagingFolder } from './staging-folder.js';
import { UnusableArtifactStoreError } from './unusable-artifact-store.error.js';

/** Name of a node that shares its folder with nobody and was given none. */
const ONLY_NODE = 'node';

/**
 * Artifacts in a folder of one machine, or one that many nodes mount: `<job>/<token>/<file>`, staged below
 * `.staging/<node>/` on the same file system, so that a rename moves them. What a job starts from lies in `<job>/inputs/`,
 * announced by an empty file `.unsettled/<node>/<job>` until its row is written: after a crash between the two only these
 * have to be looked at, however many jobs there are. Checkpoints are `<job>/checkpoints/<token>-<file>`.
 *
 * Nodes are kept apart by their names: each clears up after its own former life and touches nobody else's. What a node
 * leaves that never comes back under its name stays in the two folders of that name.
 */
@Injectable()
export class FilesystemArtifactStore extends StagedArtifactStore implements ArtifactTransfer {
  private readonly root: string;
  private readonly unsettled: string;
  /** Announced by this process: their rows may be on their way. */
  private readonly ours = new Set<string>();

  constructor(storage: StorageConfig, @Optional() node?: NodeConfig) {
    const name = plainName('the name of a node', node?.name ?? ONLY_NODE);
    super(new StagingFolder(join(storage.artifactsDir, '.staging', name)));
    this.root = storage.artifactsDir;
    this.unsettled = join(this.root, '.unsettled', name);
  }

  async storeInputs(jobId: string, files: readonly InputFile[]): Promise<void> {
    this.ours.add(jobId);
    await orUnavailable(async () => {
      await this.announce(jobId);
      await this.staging.withScratch(async (scratch) => {
        const written = files.map(({ ref, bytes }, index) => ({
          from: join(scratch, String(index)),
          key: inputKey(jobId, ref),
          bytes,
        }));
        for (const { from, bytes } of written) await writeSynced(from, bytes);
        await moveIn(this.root, written);
      });
    });
  }

  async settleInputs(jobId: string): Promise<void> {
    await orUnavailable(() => rm(join(this.unsettled, jobFolder(jobId)), { force: true }));
    this.ours.delete(jobId);
  }

  async abandonedInputs(): Promise<string[]> {
    const found = await orUnavailable(() => namesIn(this.unsettled));
    return found.filter((jobId) => !this.ours.has(jobId));
  }

  inputPath({ jobId }: Attempt, ref: ImageRef): Promise<string> {
    return Promise.resolve(join(this.root, inputKey(jobId, ref)));
  }

  async keepCheckpoint(attempt: Attempt, fileName: string): Promise<string> {
    const from = this.staging.fileOf(attempt, fileName);
    const key = checkpointKey(attempt, fileName);
    await orUnavailable(async () => {
      const isStaged = (await sizeOf(from)) !== null;
      // An earlier call that was cut short may have moved it.
      if (!isStaged && (await sizeOf(join(this.root, key))) === null)
        throw new DamagedFileError(fileName, 'a checkpoint', 'no file');
      await moveIn(this.root, [{ from: isStaged ? from : null, key }]);
    });
    return key;
  }

  async checkpointPath(_attempt: Attempt, key: string): Promise<string | null> {
    const path = join(this.root, safeKey(key));
    return (await orUnavailable(() => sizeOf(path))) === null ? null : path;
  }

  async dropCheckpoint(key: string): Promise<void> {
    await orUnavailable(() => rm(join(this.root, safeKey(key)), { force: true }));
  }

  async dropCheckpoints(jobId: string): Promise<void> {
    await orUnavailable(() => removeFolder(join(this.root, checkpointsFolder(jobId))));
  }

  async adopt(attempt: Attempt, files: readonly StagedFile[]): Promise<string[]> {
    const staged = files.map((file) => ({
      file,
      from: this.staging.fileOf(attempt, file.fileName),
      key: artifactKey(attempt, file.fileName),
    }));
    await orUnavailable(async () => {
      const moves: Move[] = [];
      for (const { file, from, key } of staged) {
        const isStaged = await isThere(from, file.fileName, file);
        // An earlier call that was cut short may have moved it.
        if (!isStaged) await verifyFile(join(this.root, key), file.fileName, file);
        moves.push({ from: isStaged ? from : null, key });
      }
      await moveIn(this.root, moves);
    });
    return staged.map(({ key }) => key);
  }

  async open(key: string) {
    const path = join(this.root, safeKey(key));
    const bytes = await orUnavailable(() => sizeOf(path));
    return bytes === null ? null : { stream: createReadStream(path), bytes };
  }

  async discard(attempt: Attempt): Promise<void> {
    await orUnavailable(() => removeFolder(join(this.root, attemptFolder(attempt))));
  }

  async remove(jobId: string): Promise<void> {
    await orUnavailable(() => removeFolder(join(this.root, jobFolder(jobId))));
    await this.settleInputs(jobId);
  }

  async *keys(jobId: string): AsyncIterable<{ key: string; bytes: number }> {
    const job = jobFolder(jobId);
    for (const folder of await orUnavailable(() => namesIn(join(this.root, job)))) {
      for (const name of await orUnavailable(() => namesIn(join(this.root, job, folder)))) {
        const key = `${job}/${folder}/${name}`;
        const bytes = await orUnavailable(() => sizeOf(join(this.root, key)));
        if (bytes !== null) yield { key, bytes };
      }
    }
  }

  async put(key: string, stream: Readable, bytes: number): Promise<void> {
    keyOfJob(key);
    await orUnavailable(() =>
      this.staging.withScratch(async (scratch) => {
        const from = join(scratch, 'incoming');
        await writeExactly(from, key, stream, bytes);
        await moveIn(this.root, [{ from, key }]);
      }),
    );
  }

  /** Tries out all that serving needs. Rejects with {@link UnusableArtifactStoreError}. */
  async prove(): Promise<void> {
    // Nodes that share the folder may do this at the same moment.
    const probe = join(this.root, `.probe-${randomUUID()}`);
    try {
      await mkdir(this.root, { recursive: true });
      await this.staging.withScratch(async (scratch) => {
        const from = join(scratch, 'probe');
        await writeSynced(from, Buffer.from(probe));
        await rename(from, probe);
      });
      await syncFolder(this.root);
      const found = await readFile(probe, 'utf8');
      await rm(probe);
      if (found !== probe) throw new Error('what was read is not what was written');
    } catch (error) {
      const reason = `the folder ${this.root} cannot be written, read and cleared (${messageOf(error)})`;
      const who = `user ${process.getuid?.() ?? ''}`.trim();
      await rm(probe, { force: true }).catch(() => undefined);
      const mend = `make it writable for ${who}, see that its disk has room, or choose another folder with artifacts_dir (SAFELIGHT_ARTIFACTS_DIR).`;
      throw new UnusableArtifactStoreError(reason, mend);
    }
  }

  /** Holds nothing open. */
  close(): void {}

  private async announce(jobId: string): Promise<void> {
    await mkdir(this.unsettled, { recursive: true });
    const mark = await open(join(this.unsettled, jobFolder(jobId)), 'w');
    await mark.close();
    await syncFolder(this.unsettled);
  }
}

/** Names in a folder; none when there is no such folder. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** A shared file system may keep a file that another node still reads for a moment, and the folder is not empty until then. */
async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 100 });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
