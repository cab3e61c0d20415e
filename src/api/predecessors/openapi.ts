import { STATUS_CODES } from 'node:http';

import { applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';

import { componentRef } from '../rest/openapi/components.js';

/** Documents errors in the form of the predecessors. */
export function AnswersInferenceErrors(...statuses: readonly number[]): ReturnType<typeof applyDecorators> {
  const content = { 'application/json': { schema: componentRef('InferenceError') } };
  return applyDecorators(
    ...statuses.map((status) => ApiResponse({ status, description: STATUS_CODES[status] ?? 'Error', content })),
  );
}
