import { applyDecorators } from '@nestjs/common';
import { ApiQuery } from '@nestjs/swagger';

import { AnswersErrors } from '../rest/openapi/answers.js';

type Decorator = ReturnType<typeof applyDecorators>;

/** Documents errors in the form of this dialect. */
export function AnswersA1111Errors(...statuses: readonly number[]): Decorator {
  return AnswersErrors('A1111Error', ...statuses);
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
