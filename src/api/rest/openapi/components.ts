import { z } from 'zod';

import { A1111_COMPONENTS } from '../../a1111/dto/components.js';
import { ERROR_CODES } from '../../http/error-codes.js';
import { PREDECESSOR_COMPONENTS } from '../../predecessors/dto.js';
import { DebugSchema } from '../dto/debug-schemas.js';
import { JobBatchSchema, JobListSchema, JobSchema } from '../dto/job-schemas.js';
import { BatchSubmission, JobSubmission } from '../dto/job-submission.js';
import { ModelListSchema, ModelSchema } from '../dto/model-schemas.js';
import { NodeSchema } from '../dto/node-schemas.js';
import { SystemSchema } from '../dto/system-schemas.js';
import { ReadinessSchema, WorkerListSchema, WorkerSchema } from '../dto/worker-schemas.js';

const ProblemSchema = z
  .looseObject({
    type: z.string().meta({ format: 'uri-reference' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().describe('Path of the request.'),
    code: z.enum(ERROR_CODES).describe('Stable; see /docs/errors.'),
    errors: z.array(
      z.object({
        field: z.string(),
        message: z.string(),
        value: z.unknown().describe('What was given, shortened.'),
        limit: z.unknown().describe('What would be accepted.'),
      }),
    ),
  })
  .describe('RFC 9457.');

/** Schemas by the names they have in the OpenAPI document. */
const COMPONENTS = {
  JobSubmission,
  BatchSubmission,
  Job: JobSchema,
  JobList: JobListSchema,
  JobBatch: JobBatchSchema,
  DebugRecord: DebugSchema,
  Model: ModelSchema,
  ModelList: ModelListSchema,
  Worker: WorkerSchema,
  WorkerList: WorkerListSchema,
  Node: NodeSchema,
  System: SystemSchema,
  Readiness: ReadinessSchema,
  Problem: ProblemSchema,
  ...A1111_COMPONENTS,
  ...PREDECESSOR_COMPONENTS,
} as const;

export type ComponentName = keyof typeof COMPONENTS;

export function componentRef(name: ComponentName): { $ref: string } {
  return { $ref: `#/components/schemas/${name}` };
}

/**
 * The components in JSON Schema 2020-12, which is what OpenAPI 3.1 holds. Nest would convert each schema by itself, to the
 * older dialect of 3.0, and repeat a job's schema at every route.
 */
export function componentSchemas(): Record<string, object> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(COMPONENTS)) registry.add(schema, { id });
  const uri = (id: string) => componentRef(id as ComponentName).$ref;
  const { schemas } = z.toJSONSchema(registry, {
    uri,
    unrepresentable: 'any',
    io: 'input',
    override: withoutSafeBounds,
  });
  return Object.fromEntries(
    Object.entries(schemas).map(([id, { $schema: _dialect, $id: _own, ...schema }]) => [id, schema]),
  );
}

/** zod tells of every integer that it is one a double can hold, which is no limit of ours. */
function withoutSafeBounds({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}
