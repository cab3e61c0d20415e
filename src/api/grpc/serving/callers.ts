import type { Metadata } from '@grpc/grpc-js';

import type { Caller } from '../../../domain/access/caller.js';

/** Beside the metadata of the calls rather than in it: no client can write it. */
const callers = new WeakMap<Metadata, Caller>();

/** Notes who sends a call. */
export function identifyCall(metadata: Metadata, caller: Caller): void {
  callers.set(metadata, caller);
}

/** Who sends a call. */
export function callerOfCall(metadata: Metadata): Caller {
  const caller = callers.get(metadata);
  if (caller === undefined) throw new Error('the call was not looked at for its key');
  return caller;
}

/** The text of a metadata key; undefined: it is not there. Of several the first counts. */
export function metadataText(metadata: Metadata, key: string): string | undefined {
  return metadata.get(key)[0]?.toString();
}
