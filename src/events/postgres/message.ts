import type { JobEvent } from '../../domain/job/job-event.js';

/**
 * What nodes tell each other. Keys are short because many messages share a payload. A node of another version may send
 * kinds this one does not know: they are passed over.
 */
export type Message =
  | { readonly kind: 'event'; readonly event: JobEvent }
  | { readonly kind: 'cancel'; readonly job: string }
  /** The previews of these jobs are watched at the sender, or no longer. Watching ends by itself unless it is repeated. */
  | { readonly kind: 'watch'; readonly jobs: readonly string[]; readonly on: boolean }
  | FramePart
  /** Some of what the sender told before was lost. */
  | { readonly kind: 'gap' };

/** A piece of a preview frame; a frame whose pieces do not all come is not shown. */
export interface FramePart {
  readonly kind: 'frame';
  readonly job: string;
  /** Counts the frames of the sender. */
  readonly frame: number;
  readonly step: number;
  readonly mediaType: string;
  /** From 0. */
  readonly part: number;
  readonly parts: number;
  /** Base64. */
  readonly data: string;
}

/** Parts of the largest frame (64 KiB), with room for what workers may be allowed later. */
const MOST_PARTS = 64;

type Fields = Readonly<Record<string, unknown>>;

// By hand: a schema library takes four times as long, and there may be ten thousand messages a second.
function isMessage(value: unknown): value is Message {
  if (!isRecord(value)) return false;
  switch (value['kind']) {
    case 'event':
      return isRecord(value['event']) && isEvent(value['event']);
    case 'cancel':
      return isText(value['job']);
    case 'watch':
      return Array.isArray(value['jobs']) && value['jobs'].every(isText) && typeof value['on'] === 'boolean';
    case 'frame':
      return isFramePart(value);
    case 'gap':
      return true;
    default:
      return false;
  }
}

/** The body is what the sender stored; only its type is looked at before the store is read again. */
function isEvent({ jobId, seq, at, body }: Fields): boolean {
  return isText(jobId) && isCount(seq) && isCount(at) && isRecord(body) && isText(body['type']);
}

function isFramePart({ job, frame, step, mediaType, part, parts, data }: Fields): boolean {
  const isPart = isCount(part) && isCount(parts) && part < parts && parts <= MOST_PARTS;
  return isPart && isText(job) && isCount(frame) && isCount(step) && isText(mediaType) && typeof data === 'string';
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A payload is the id of its sender, a space, and a JSON array of messages. */
export function payloadOf(sender: string, messages: readonly string[]): string {
  return `${sender} [${messages.join(',')}]`;
}

/** Messages of a payload; those that are no messages of this version are counted, not returned. */
export function messagesOf(payload: string): { sender: string; messages: Message[]; unknown: number } {
  const [sender = ''] = payload.split(' ', 1);
  let given: unknown;
  try {
    given = JSON.parse(payload.slice(sender.length + 1));
  } catch {
    return { sender, messages: [], unknown: 1 };
  }
  if (!Array.isArray(given)) return { sender, messages: [], unknown: 1 };
  const messages = given.filter(isMessage);
  return { sender, messages, unknown: given.length - messages.length };
}

/** True for what this node sent itself. */
export function isFrom(sender: string, payload: string): boolean {
  return payload.startsWith(`${sender} `);
}
