import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** As of a JSON body: a hundred requests with every field and all metadata have under 10,000. */
const MAX_VALUES = 20_000;

/** Ours need 6; the bound keeps decoders far from the end of the stack. */
const MAX_DEPTH = 64;

/** A message that would cost far more memory once it is decoded than it has bytes. */
export class ExtentError extends Error {}

/**
 * Refuses a message that holds too many values, before anything is made of it: two bytes on the wire can be an object with
 * thirty fields. Also throws for what is no message of the wire at all.
 */
export function checkExtent(type: DescMessage, bytes: Uint8Array): void {
  const reader = new BinaryReader(bytes);
  const count = new Count();
  walk(type, reader, reader.len, count, 0);
}

class Count {
  private values = 0;

  add(values: number): void {
    this.values += values;
    if (this.values > MAX_VALUES) throw new ExtentError(`the message holds more than ${MAX_VALUES} values`);
  }
}

function walk(type: DescMessage, reader: BinaryReader, end: number, count: Count, depth: number): void {
  if (depth > MAX_DEPTH) throw new ExtentError(`the message nests deeper than ${MAX_DEPTH} levels`);
  const fields = fieldsOf(type);
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    count.add(1);
    const field = fields.get(number);
    if (wireType !== WireType.LengthDelimited || field === undefined) {
      reader.skip(wireType, number);
      continue;
    }
    const length = reader.uint32();
    const stop = reader.pos + length;
    if (stop > end) throw new RangeError('a field is longer than its message');
    const inside = messageOf(field);
    if (inside !== null) walk(inside, reader, stop, count, depth + 1);
    // Numbers in a packed list take a byte or more each.
    else if (isNumberList(field)) count.add(length);
    reader.pos = stop;
  }
}

const known = new WeakMap<DescMessage, ReadonlyMap<number, DescField>>();

function fieldsOf(type: DescMessage): ReadonlyMap<number, DescField> {
  const found = known.get(type);
  if (found !== undefined) return found;
  const fields = new Map(type.fields.map((field) => [field.number, field]));
  known.set(type, fields);
  return fields;
}

/** The entry of a map holds its value at depth one below; null: there is no message inside. */
function messageOf(field: DescField): DescMessage | null {
  if (field.fieldKind === 'map') return field.mapKind === 'message' ? entryOf(field.message) : null;
  return field.message ?? null;
}

/** A map is a list of entries `{key = 1, value = 2}`, which have no descriptor of their own here. */
function entryOf(value: DescMessage): DescMessage {
  return { fields: [{ number: 2, fieldKind: 'message', message: value }] } as unknown as DescMessage;
}

function isNumberList(field: DescField): boolean {
  return field.fieldKind === 'list' && field.listKind !== 'message' && field.packed;
}
