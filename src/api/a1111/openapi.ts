import { STATUS_CODES } from 'node:http';

import { applyDecorators } from '@nestjs/common';
import { ApiQuery, ApiResponse } from '@nestjs/swagger';

import { componentRef } from '../rest/openapi/components.js';

type Decorator = ReturnType<typeof applyDecorators>;

/** Documents errors in the form of this dialect. */
export function AnswersA1111Errors(...statuses: readonly number[]): Decorator {
  const content = { 'application/json': { schema: componentRef('A1111Error') } };
  return applyDecorators(
    ...statuses.map((status) => ApiResponse({ status, description: STATUS_CODES[status] ?? 'Error', content })),
  );
}

/** Documents how one of several requests is meant. */
export function TakesTaskId(): Decorator {
  return applyDecorators(
    ApiQuery({
      name: 'force_task_id',
      required: false,
      schema: { type: 'string' },
      description: 'The request of this name only. Absent: all of the caller.',
    }),
  );
}
