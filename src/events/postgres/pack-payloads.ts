import { payloadOf } from './message.js';

/** Bytes of a payload. PostgreSQL takes less than 8000. */
export const PAYLOAD_BYTES = 6000;

export interface Packed {
  readonly payloads: readonly string[];
  /** Messages no payload can hold. */
  readonly tooLarge: number;
}

/** Puts messages into as few payloads as hold them, in their order. */
export function packPayloads(sender: string, messages: readonly string[]): Packed {
  const empty = Buffer.byteLength(payloadOf(sender, []));
  const payloads: string[] = [];
  let packed: string[] = [];
  let bytes = empty;
  let tooLarge = 0;
  const seal = () => {
    if (packed.length > 0) payloads.push(payloadOf(sender, packed));
    packed = [];
    bytes = empty;
  };
  for (const message of messages) {
    const more = Buffer.byteLength(message) + 1;
    if (empty + more > PAYLOAD_BYTES) {
      tooLarge += 1;
      continue;
    }
    if (bytes + more > PAYLOAD_BYTES) seal();
    packed.push(message);
    bytes += more;
  }
  seal();
  return { payloads, tooLarge };
}
