import { buffer } from 'node:stream/consumers';
import type { Writable } from 'node:stream';

import type { Request, Response } from 'express';
import multer from 'multer';

import { Picture } from '../../jobs/submit/picture.js';
import { MAX_IMAGE_BYTES } from '../../jobs/submit/resolve-images.js';
import { Problem } from '../http/problem.js';
import { isObject } from '../http/read-fields.js';
import type { ParameterFault } from './parameter-problem.js';
import { ParameterProblem } from './parameter-problem.js';

/** Pictures that OpenAI takes of an edit, and a mask: who sends as many is told that one is taken, not that the form is broken. */
const MAX_FILES = 17;

const LIMITS = {
  fileSize: MAX_IMAGE_BYTES,
  files: MAX_FILES,
  fields: 64,
  parts: 96,
  headerPairs: 16,
  fieldNameSize: 100,
  fieldNestingDepth: 1,
  fieldArrayIndexLimit: 0,
};

/** Parameters whose text may be empty, or the word null. */
const TEXTS = ['prompt', 'negative_prompt'];

const NUMBERS = [
  'n',
  'num_inference_steps',
  'guidance_scale',
  'true_cfg_scale',
  'strength',
  'output_compression',
  'partial_images',
];
const FLAGS: Readonly<Record<string, boolean>> = { true: true, false: false };

/** A form that was read. */
export interface Form {
  /** Of the types that JSON would have. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Its files; `image[]` is named `image`. */
  readonly pictures: Readonly<Record<string, Picture>>;
}

/**
 * Reads the form of an edit. Throws the problem when it is no
 * form, broken, or larger than `maxBytes`. How long it may take is bounded by the server's requestTimeout.
 */
export async function readForm(request: Request, response: Response, maxBytes: number): Promise<Form> {
  try {
    checkHead(request, maxBytes);
  } catch (error) {
    // So that the client gets to read the answer instead of an error of its socket.
    request.resume();
    throw error;
  }
  const files = await receive(request, response, maxBytes);
  return { values: typedValues(request.body as Record<string, unknown>), pictures: pictures(files) };
}

function checkHead(request: Request, maxBytes: number): void {
  if (!request.is('multipart/form-data')) {
    const given = (request.headers['content-type'] ?? 'none').slice(0, 80);
    throw new Problem('unsupported_media_type', `Content-Type must be multipart/form-data, not ${given}`);
  }
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

/** A file as it came. */
interface SentFile {
  readonly field: string;
  readonly bytes: Buffer;
}

/** Leaves fields in `request.body`, and returns the files. */
async function receive(request: Request, response: Response, maxBytes: number): Promise<readonly SentFile[]> {
  const files: SentFile[] = [];
  // Its types do not know `streamHandler` yet.
  const options: multer.Options & { streamHandler(source: Request, parser: Writable): void } = {
    storage: keptIn(files),
    limits: { ...LIMITS, fieldSize: maxBytes },
    streamHandler: (source, parser) => feed(source, parser, maxBytes),
  };
  const upload = multer(options).any();
  await new Promise<void>((resolve, reject) => {
    void upload(request, response, (error: unknown) => (error ? reject(asProblem(error)) : resolve()));
  });
  return files.splice(0);
}

/** In memory as multer's own, which keeps what it has for as long as the request is there, and that waits for its job. */
function keptIn(files: SentFile[]): multer.StorageEngine {
  return {
    _handleFile(_request, { fieldname: field, stream }, done) {
      buffer(stream).then((bytes) => {
        files.push({ field, bytes });
        done(null, { size: bytes.length });
      }, done);
    },
    _removeFile: (_request, _file, done) => done(null),
  };
}

/** Also where the length was not announced. */
function feed(source: Request, parser: Writable, maxBytes: number): void {
  let bytes = 0;
  source.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= maxBytes) return;
    source.unpipe(parser);
    parser.destroy(tooLarge(maxBytes));
  });
  source.pipe(parser);
}

function tooLarge(maxBytes: number): Problem {
  return new Problem('body_too_large', `the body may have ${maxBytes} bytes`);
}

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof multer.MulterError && error.code === 'LIMIT_FILE_SIZE') {
    const field = nameOf(error.field ?? 'image');
    const message = `${field}: must have at most ${MAX_IMAGE_BYTES} bytes`;
    const limit = { max_bytes: MAX_IMAGE_BYTES };
    return new Problem('body_too_large', message, { errors: [{ field, message, value: undefined, limit }] });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new Problem('malformed_request', `the form cannot be read: ${reason.slice(0, 200)}`);
}

/** `image[]` is how clients write a list of one as well. */
function nameOf(field: string): string {
  return field.endsWith('[]') ? field.slice(0, -2) : field;
}

function pictures(files: readonly SentFile[]): Record<string, Picture> {
  const byName = Map.groupBy(files, ({ field }) => nameOf(field));
  const faults = [...byName].flatMap(([field, sent]): ParameterFault[] =>
    sent.length === 1
      ? []
      : [
          {
            field,
            message: `takes one picture; ${sent.length} were sent`,
            value: sent.length,
            limit: { max: 1 },
            code: 'invalid_value',
          },
        ],
  );
  if (faults.length > 0) throw new ParameterProblem(faults);
  return Object.fromEntries([...byName].map(([field, [file]]) => [field, new Picture((file as SentFile).bytes)]));
}

function typedValues(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, typed(field, value)]));
}

/** A form has texts only: the value one stands for, or the text itself, which will be refused where it stands for none. */
function typed(field: string, value: unknown): unknown {
  if (field === 'extra_body' && isObject(value)) return typedValues(value);
  if (typeof value !== 'string' || TEXTS.includes(field)) return value;
  if (value === '' || value === 'null') return null;
  if (field === 'stream') return FLAGS[value.toLowerCase()] ?? value;
  if (NUMBERS.includes(field)) return numberIn(value) ?? value;
  return value;
}

function numberIn(text: string): number | null {
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?$/i.test(text) ? Number(text) : null;
}
