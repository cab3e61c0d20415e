import { BinaryWriter } from '@bufbuild/protobuf/wire';

/** A field at fault, or a limit that is used up. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** What google.rpc calls the details of an error. */
export interface ErrorDetails {
  /** Stable word of our table of errors, or of failures. */
  readonly reason: string;
  readonly fields: readonly Violation[];
  readonly quotas: readonly Violation[];
  /** Null: nothing says when it is worth asking again. */
  readonly retrySeconds: number | null;
}

const DOMAIN = 'safelight';

/** Clients refuse more than 8 KiB of trailers, these being base64 there, beside the message. */
const MAX_VIOLATION_BYTES = 3_500;

type Write = (writer: BinaryWriter) => BinaryWriter;

/**
 * A `google.rpc.Status`, as `grpc-status-details-bin` holds it. Written by hand: these five messages have not changed in
 * years, and their generated code would be larger than the rest of this folder.
 */
export function encodeStatus(code: number, message: string, details: ErrorDetails): Buffer {
  const { reason, fields, quotas, retrySeconds } = details;
  const any = [
    anyOf('ErrorInfo', (writer) => writer.uint32(10).string(reason).uint32(18).string(DOMAIN)),
    ...(fields.length === 0 ? [] : [anyOf('BadRequest', violations(fields))]),
    ...(quotas.length === 0 ? [] : [anyOf('QuotaFailure', violations(quotas))]),
    ...(retrySeconds === null ? [] : [anyOf('RetryInfo', retryDelay(retrySeconds))]),
  ];
  const status = new BinaryWriter().uint32(8).int32(code).uint32(18).string(message);
  for (const detail of any) status.uint32(26).bytes(detail);
  return Buffer.from(status.finish());
}

function anyOf(type: string, write: Write): Uint8Array {
  const value = write(new BinaryWriter()).finish();
  return new BinaryWriter()
    .uint32(10)
    .string(`type.googleapis.com/google.rpc.${type}`)
    .uint32(18)
    .bytes(value)
    .finish();
}

/** BadRequest and QuotaFailure alike: a list of pairs of texts, as many as there is room for. */
function violations(list: readonly Violation[]): Write {
  return (writer) => {
    let room = MAX_VIOLATION_BYTES;
    for (const { field, description } of list) {
      const pair = new BinaryWriter().uint32(10).string(field).uint32(18).string(description).finish();
      room -= pair.length;
      if (room < 0) break;
      writer.uint32(10).bytes(pair);
    }
    return writer;
  };
}

function retryDelay(seconds: number): Write {
  return (writer) => writer.uint32(10).fork().uint32(8).int64(seconds).join();
}
