import { STATUS_CODES } from 'node:http';

import { applyDecorators } from '@nestjs/common';
import { ApiBody, ApiParam, ApiResponse } from '@nestjs/swagger';

import type { ErrorCode } from '../../http/error-codes.js';
import { ERRORS } from '../../http/error-codes.js';
import { Problem } from '../../http/problem.js';
import type { ComponentName } from './components.js';
import { componentRef } from './components.js';

type Decorator = ReturnType<typeof applyDecorators>;

/** Documents a JSON body. */
export function TakesJson(component: ComponentName): Decorator {
  return applyDecorators(ApiBody({ required: true, schema: componentRef(component) }));
}

/** Documents a JSON answer. */
export function AnswersJson(
  status: number,
  description: string,
  component: ComponentName,
  headers: readonly string[] = [],
): Decorator {
  const content = { 'application/json': { schema: componentRef(component) } };
  const described = Object.fromEntries(headers.map((name) => [name, { schema: { type: 'string' as const } }]));
  return applyDecorators(ApiResponse({ status, description, content, headers: described }));
}

/** Types whose bodies are more than text or bytes. */
const STRUCTURED: ReadonlySet<string> = new Set(['application/json', 'text/event-stream']);

/** Documents an answer of another type, or one without a body. */
export function Answers(status: number, description: string, mediaTypes: readonly string[] = []): Decorator {
  if (mediaTypes.length === 0) return applyDecorators(ApiResponse({ status, description }));
  // A schema of JSON says what the value is, not that it is text; one of a stream would be that of each event.
  const entryOf = (type: string) => (STRUCTURED.has(type) ? {} : { schema: { type: 'string' as const } });
  const content = Object.fromEntries(mediaTypes.map((type) => [type, entryOf(type)] as const));
  return applyDecorators(ApiResponse({ status, description, content }));
}

/** Documents the errors of a route; codes that share a status share an entry, as OpenAPI asks. */
export function AnswersProblems(...codes: readonly ErrorCode[]): Decorator {
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status);
  const responses = [...byStatus].map(([status, shared]) =>
    ApiResponse({
      status,
      description: shared.map((code) => ERRORS[code].title).join('; '),
      content: {
        'application/problem+json': {
          schema: componentRef('Problem'),
          examples: Object.fromEntries(shared.map((code) => [code, { value: exampleOf(code) }])),
        },
      },
    }),
  );
  return applyDecorators(...responses);
}

/** Documents the errors of a route in the form of a dialect that has no problem documents. */
export function AnswersErrors(component: ComponentName, ...statuses: readonly number[]): Decorator {
  const content = { 'application/json': { schema: componentRef(component) } };
  return applyDecorators(
    ...statuses.map((status) => ApiResponse({ status, description: STATUS_CODES[status] ?? 'Error', content })),
  );
}

function exampleOf(code: ErrorCode): unknown {
  const errors = [{ field: 'width', message: 'must be a multiple of 8', value: 65, limit: { multiple_of: 8 } }];
  return new Problem(code, ERRORS[code].meaning, code === 'invalid_request' ? { errors } : {}).document('/v1/jobs');
}

/** Documents the id of a job in the address. */
export function TakesJobId(): Decorator {
  return applyDecorators(ApiParam({ name: 'id', schema: { type: 'string', format: 'uuid' } }));
}
