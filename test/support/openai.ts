import { createHash } from 'node:crypto';

import { createParser } from 'eventsource-parser';

import type { FailureKind } from '../../src/domain/failure/failure-kind.js';
import { failure } from '../../src/domain/failure/failure.js';
import type { Claim } from '../../src/jobs/ports/job-store.port.js';
import type { AnyJson, RunningApi } from './api.js';
import { artifact, attemptRecord, progress } from './jobs.js';

/** Ends a claimed job with these pictures, and tells who waits for it. */
export async function finish(api: RunningApi, claim: Claim, pictures: readonly Buffer[], mediaType = 'image/png') {
  const artifacts = await Promise.all(
    pictures.map(async (bytes, index) => ({
      ...artifact(index),
      mediaType,
      key: await api.putFile(`${claim.jobId}-${index}`, bytes),
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })),
  );
  const record = attemptRecord({ finishedAt: Date.now() });
  const recorded = await api.store.completeIfClaimed(claim, record, { artifacts, effective: {} }, Date.now());
  api.events.publish(recorded.events);
}

/** Ends a claimed job without pictures. */
export async function fail(api: RunningApi, claim: Claim, kind: FailureKind, facts: { field?: string } = {}) {
  const why = failure(kind, 'it was not to be', facts);
  const record = attemptRecord({ finishedAt: Date.now(), outcome: 'failed', failure: why });
  const recorded = await api.store.endIfClaimed(claim, record, { state: 'failed', failure: why }, Date.now());
  api.events.publish(recorded.events);
}

/** Tells of a step as the dispatcher would. */
export async function step(api: RunningApi, claim: Claim, at: number, steps: number) {
  const now = progress({ step: at, steps });
  const told = [{ type: 'progress', progress: now } as const];
  api.events.publish((await api.store.recordProgressIfClaimed(claim, now, told, Date.now())).events);
}

export interface ServerEvent {
  readonly event: string | undefined;
  readonly data: AnyJson;
}

/** Events of a stream, one after the other; null: it has ended. */
export function eventsOf(response: Response): () => Promise<ServerEvent | null> {
  const told: ServerEvent[] = [];
  const parser = createParser({ onEvent: ({ event, data }) => told.push({ event, data: JSON.parse(data) }) });
  const chunks = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  return async () => {
    while (told.length === 0) {
      const chunk = await chunks?.read();
      if (chunk === undefined || chunk.done) return null;
      parser.feed(chunk.value);
    }
    return told.shift() ?? null;
  };
}
