import type { AnyJson, RunningApi } from '../../test/support/api.js';
import { startApi } from '../../test/support/api.js';
import { ERROR_CODES, ERRORS } from './http/error-codes.js';
import { JobSubmission } from './rest/dto/job-submission.js';
import { JobSchema } from './rest/dto/job-schemas.js';

const ROUTES = [
  'POST /v1/jobs',
  'POST /v1/jobs/batch',
  'GET /v1/jobs',
  'GET /v1/jobs/{id}',
  'GET /v1/jobs/{id}/debug',
  'POST /v1/jobs/{id}/cancel',
  'GET /v1/jobs/{id}/events',
  'GET /v1/jobs/{id}/artifacts/{index}',
  'GET /v1/jobs/{id}/preview',
  'GET /v1/models',
  'GET /v1/models/{id}',
  'POST /v1/images/generations',
  'POST /v1/images/edits',
  'GET /v1/workers',
  'POST /v1/workers/{id}/drain',
  'POST /v1/workers/{id}/start',
  'GET /v1/node',
  'GET /v1/system',
  'POST /v1/node/drain',
  'GET /health/live',
  'GET /health/ready',
  'GET /metrics',
  'POST /sdapi/v1/txt2img',
  'POST /sdapi/v1/img2img',
  'GET /sdapi/v1/progress',
  'POST /internal/progress',
  'POST /sdapi/v1/interrupt',
  'POST /sdapi/v1/skip',
  'GET /sdapi/v1/options',
  'POST /sdapi/v1/options',
  'GET /sdapi/v1/sd-models',
  'GET /sdapi/v1/samplers',
  'GET /sdapi/v1/schedulers',
  'GET /sdapi/v1/loras',
  'GET /sdapi/v1/upscalers',
  'GET /sdapi/v1/scripts',
  'GET /sdapi/v1/memory',
  'POST /sdapi/v1/png-info',
  'POST /sdapi/v1/refresh-checkpoints',
  'POST /sdapi/v1/unload-checkpoint',
  'GET /controlnet/model_list',
  'POST /api/diffusers/inference',
  'POST /api/v1/content/generate',
];

interface Operation {
  readonly operationId: string;
  readonly requestBody?: object;
  readonly responses: Record<
    string,
    { description: string; content?: Record<string, { examples?: Record<string, unknown> }> }
  >;
}

describe('the OpenAPI document', () => {
  let api: RunningApi;
  let document: { openapi: string; paths: Record<string, Record<string, Operation>>; components: { schemas: AnyJson } };
  beforeAll(async () => {
    api = await startApi();
    document = (await api.get('/openapi.json')).json;
  });
  afterAll(() => api.close());

  const operations = () =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })),
    );

  it('is of version 3.1 and holds every route', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(
      operations()
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(ROUTES.toSorted());
  });

  it('gives each operation a name of its own and a successful answer', () => {
    const names = operations().map(({ operation }) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
    for (const { operation } of operations())
      expect(Object.keys(operation.responses).some((status) => status < '3')).toBe(true);
  });

  it('refers to nothing that is not there', () => {
    const names = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref ?? '');
    expect(names.length).toBeGreaterThan(0);
    for (const name of names)
      expect(Object.keys(document.components.schemas)).toContain(name.replace('#/components/schemas/', ''));
  });

  it('shows each error with its status', () => {
    const shown = operations().flatMap(({ operation }) =>
      Object.entries(operation.responses).flatMap(([status, { content }]) =>
        Object.keys(content?.['application/problem+json']?.examples ?? {}).map((code) => ({
          status: Number(status),
          code,
        })),
      ),
    );
    for (const { status, code } of shown) expect(ERRORS[code as keyof typeof ERRORS].status).toBe(status);
    expect(document.components.schemas.Problem.properties.code.enum).toEqual(ERROR_CODES);
  });

  it('describes submissions strictly, with the fields of the design', () => {
    const schema = document.components.schemas.JobSubmission;
    expect(Object.keys(schema.properties)).toEqual(Object.keys(JobSubmission.shape));
    expect(schema.required).toEqual(['prompt']);
    expect(schema.additionalProperties).toBe(false);
    expect(schema.properties.num_images).toEqual({ description: expect.any(String), type: 'integer' });
    expect(schema.properties.webhook).toMatchObject({ type: ['string', 'null'] });
  });

  it('describes jobs as they are answered', async () => {
    const example = (JobSubmission.meta()?.examples as unknown[] | undefined)?.[0];
    const { json } = await api.post('/v1/jobs', example);
    expect(JobSchema.strict().parse(json)).toEqual(json);
    expect(Object.keys(json)).toEqual(Object.keys(document.components.schemas.Job.properties));
  });

  it('is shown on a page that needs no other host', async () => {
    const { text } = await api.get('/docs');
    expect(text).toContain('swagger-ui');
    expect(text).not.toMatch(/(?:src|href)="https?:/);
    for (const asset of ['swagger-ui-init.js', 'swagger-ui.css', 'swagger-ui-bundle.js']) {
      expect((await api.get(`/docs/${asset}`)).status).toBe(200);
    }
  });
});
