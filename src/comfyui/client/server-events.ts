import { z } from 'zod';

import { ExecutionError } from './answers.js';

/** What the socket tells that we use. */
export type ServerEvent =
  /** `node` null: the prompt is over, and in the history. */
  | { readonly type: 'executing'; readonly promptId: string | null; readonly node: string | null }
  | { readonly type: 'cached'; readonly promptId: string; readonly nodes: readonly string[] }
  | {
      readonly type: 'progress';
      readonly promptId: string | null;
      readonly node: string;
      readonly value: number;
      readonly max: number;
    }
  | { readonly type: 'succeeded'; readonly promptId: string }
  | { readonly type: 'failed'; readonly promptId: string; readonly error: ExecutionError }
  | { readonly type: 'interrupted'; readonly promptId: string }
  | { readonly type: 'started'; readonly promptId: string }
  | { readonly type: 'preview'; readonly mediaType: string; readonly data: Uint8Array };

const promptId = z.string();
const maybeId = z.string().nullish();
const Executing = z.object({ node: z.string().nullable(), prompt_id: maybeId });
const Cached = z.object({ nodes: z.array(z.string()), prompt_id: promptId });
const Progress = z.object({ value: z.number(), max: z.number().positive(), node: z.string(), prompt_id: maybeId });
const ProgressState = z.object({
  prompt_id: promptId,
  nodes: z.record(z.string(), z.object({ value: z.number(), max: z.number().positive(), state: z.string() })),
});
const OfPrompt = z.object({ prompt_id: promptId });
const Envelope = z.object({ type: z.string(), data: z.unknown() });

/** Binary frames: this type, then the kind of picture, then its bytes; both numbers are 32 bits, big-endian. */
const PREVIEW_IMAGE = 1;
const PREVIEW_MEDIA_TYPES: Readonly<Record<number, string>> = { 1: 'image/jpeg', 2: 'image/png' };

/** Events of a text frame, in order; empty: of a kind we do not use, or none of ComfyUI's. */
export function eventsOfText(text: string): readonly ServerEvent[] {
  const envelope = Envelope.safeParse(parsed(text));
  if (!envelope.success) return [];
  const { type, data } = envelope.data;
  switch (type) {
    case 'execution_start':
      return take(OfPrompt, data, (told) => [{ type: 'started', promptId: told.prompt_id }]);
    case 'executing':
      return take(Executing, data, (told) => [
        { type: 'executing', promptId: told.prompt_id ?? null, node: told.node },
      ]);
    case 'execution_cached':
      return take(Cached, data, (told) => [{ type: 'cached', promptId: told.prompt_id, nodes: told.nodes }]);
    case 'progress':
      return take(Progress, data, ({ node, value, max, prompt_id: id }) => [
        { type: 'progress', promptId: id ?? null, node, value, max },
      ]);
    case 'progress_state':
      return take(ProgressState, data, ({ nodes, prompt_id: id }) =>
        Object.entries(nodes)
          .filter(([, { state }]) => state === 'running')
          .map(([node, { value, max }]) => ({ type: 'progress', promptId: id, node, value, max })),
      );
    case 'execution_success':
      return take(OfPrompt, data, (told) => [{ type: 'succeeded', promptId: told.prompt_id }]);
    case 'execution_error':
      return take(OfPrompt.and(ExecutionError), data, (told) => [
        { type: 'failed', promptId: told.prompt_id, error: told },
      ]);
    case 'execution_interrupted':
      return take(OfPrompt, data, (told) => [{ type: 'interrupted', promptId: told.prompt_id }]);
    default:
      return [];
  }
}

/** A preview; null: a binary frame of another kind. */
export function previewOf(frame: Uint8Array): ServerEvent | null {
  if (frame.length < 8) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const mediaType = PREVIEW_MEDIA_TYPES[view.getUint32(4)];
  if (view.getUint32(0) !== PREVIEW_IMAGE || mediaType === undefined) return null;
  return { type: 'preview', mediaType, data: frame.subarray(8) };
}

function take<T extends z.ZodType>(
  schema: T,
  data: unknown,
  make: (told: z.infer<T>) => readonly ServerEvent[],
): readonly ServerEvent[] {
  const told = schema.safeParse(data);
  return told.success ? make(told.data) : [];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
