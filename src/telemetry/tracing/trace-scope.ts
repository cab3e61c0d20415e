import { AsyncLocalStorage } from 'node:async_hooks';

import type { SpanContext } from './trace-context.js';
import { formatTraceparent } from './trace-context.js';

const scope = new AsyncLocalStorage<SpanContext>();

/** Does something as part of a span: whatever it submits, however deep inside, belongs to the trace. */
export function inTrace<T>(context: SpanContext, work: () => T): T {
  return scope.run(context, work);
}

/** What a job keeps of the request that submits it; null: it is not traced. */
export function currentTraceparent(): string | null {
  const context = scope.getStore();
  return context === undefined || !context.sampled ? null : formatTraceparent(context);
}
