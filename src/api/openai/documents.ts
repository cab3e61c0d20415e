import { applyDecorators } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiHeader, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';

import { CANCEL_AFTER } from '../http/cancel-after.js';
import { ON_DISCONNECT } from '../http/on-disconnect.js';
import { ImageEdit, ImageGeneration } from './image-parameters.js';

type Decorator = ReturnType<typeof applyDecorators>;
type Schema = NonNullable<Parameters<typeof ApiResponse>[0]['schema' & keyof Parameters<typeof ApiResponse>[0]]>;

/** Headers of every answer, errors of an accepted job among them. */
const ANSWER_HEADERS = {
  'Safelight-Job-Id': {
    description: 'The job behind the answer: `GET /v1/jobs/{id}`.',
    schema: { type: 'string' as const },
  },
};

const Usage = z
  .object({
    input_tokens: z.int(),
    input_tokens_details: z.object({ text_tokens: z.int(), image_tokens: z.int() }),
    output_tokens: z.int(),
    total_tokens: z.int(),
  })
  .describe('Nothing counts tokens here: zeros.');

const Images = z.object({
  created: z.int().describe('Seconds since 1970.'),
  background: z.literal('opaque'),
  output_format: z.enum(['png', 'jpeg', 'webp']),
  quality: z.enum(['low', 'medium', 'high']).describe('As asked for; auto is high.'),
  size: z.string().describe('`WIDTHxHEIGHT`, as it was drawn.'),
  data: z.array(
    z.object({
      b64_json: z.string().optional(),
      url: z.string().optional().describe('Fetchable as it is, for as long as the job is kept.'),
      revised_prompt: z.string().describe('The prompt; nothing revises it.'),
    }),
  ),
  usage: Usage,
});

const Envelope = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable().describe('The parameter at fault.'),
    code: z.string().nullable().describe("OpenAI's word, one of /docs/errors, or the kind of a job's failure."),
  }),
});

/** Statuses an answer may have in place of pictures, and when. */
const ERRORS: Readonly<Record<number, string>> = {
  400: 'A parameter is unknown or cannot be served; the body cannot be read.',
  401: 'A key is needed.',
  403: 'The key may not do this.',
  409: 'The idempotency key was used with another body.',
  413: 'The body or a file in it is too large.',
  415: 'The body is of a type that is not taken here.',
  429: 'The queue is full, or the key has used up its share. `Retry-After` tells when to try again.',
  499: 'The job was cancelled.',
  500: 'The job failed, or something went wrong inside the server.',
  503: 'The server takes no jobs now, or what the job needs is not there.',
  504: 'The job did not end in time.',
};

const EVENTS =
  'With `stream`: server-sent events `$.partial_image`, then `$.completed` for each picture, or `error`; a comment comes every 15 seconds.';

/** Documents what the two routes have in common. */
export function ServesImages(events: 'image_generation' | 'image_edit'): Decorator {
  return applyDecorators(
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description: 'The same key and body give the same pictures.',
    }),
    ApiHeader({
      name: ON_DISCONNECT,
      required: false,
      schema: { type: 'string', enum: ['continue'] },
      description:
        '`continue`: the job goes on when the connection closes. Absent: it is cancelled then, unless the request has an `Idempotency-Key`.',
    }),
    ApiHeader({
      name: CANCEL_AFTER,
      required: false,
      description: 'Such as `90s`, `5m` or `1h`: a job that has not ended by then expires, which is a 504.',
    }),
    ApiResponse({
      status: 200,
      description: `The pictures. ${EVENTS.replaceAll('$', events)}`,
      headers: ANSWER_HEADERS,
      content: {
        'application/json': { schema: schemaOf(Images) },
        'text/event-stream': { schema: { type: 'string' } },
      },
    }),
    ...Object.entries(ERRORS).map(([status, description]) =>
      ApiResponse({
        status: Number(status),
        description,
        content: { 'application/json': { schema: schemaOf(Envelope) } },
      }),
    ),
  );
}

/** Documents the body of a generation. */
export function TakesGeneration(): Decorator {
  return applyDecorators(ApiBody({ required: true, schema: schemaOf(ImageGeneration) }));
}

/** Documents the form of an edit. */
export function TakesEdit(): Decorator {
  const { properties, ...schema } = schemaOf(ImageEdit) as { properties: Record<string, Record<string, unknown>> };
  const file = (name: 'image' | 'mask') => ({
    type: 'string',
    contentMediaType: 'application/octet-stream',
    description: properties[name]?.['description'],
  });
  const form = { ...properties, image: file('image'), mask: file('mask') };
  return applyDecorators(
    ApiConsumes('multipart/form-data'),
    ApiBody({ required: true, schema: { ...schema, properties: form, required: ['image', 'prompt'] } as Schema }),
  );
}

/** In JSON Schema 2020-12, as the components of the document. */
function schemaOf(schema: z.ZodType): Schema {
  const { $schema: _dialect, ...json } = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' });
  return json as Schema;
}
