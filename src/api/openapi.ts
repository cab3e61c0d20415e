import type { INestApplication } from '@nestjs/common';
import type { OpenAPIObject } from '@nestjs/swagger';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';

import { componentSchemas } from './rest/openapi/components.js';

const DESCRIPTION =
  'Submit prompts, follow jobs, fetch pictures. Errors are problem documents (RFC 9457); their codes are explained at /docs/errors.';

/** Of the interface, not of the program: fields are added under the same number, and `/v1` stays its address. */
const API_VERSION = '1';

/** Serves the OpenAPI document at /openapi.json and a page to read and try it at /docs. Built when first asked for. */
export function serveOpenApi(app: INestApplication): void {
  SwaggerModule.setup('docs', app, () => openApiDocument(app), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Safelight',
  });
}

export function openApiDocument(app: INestApplication): OpenAPIObject {
  const base = new DocumentBuilder()
    .setTitle('Safelight')
    .setDescription(DESCRIPTION)
    .setVersion(API_VERSION)
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .setOpenAPIVersion('3.1.0')
    .addBearerAuth({ type: 'http', description: 'An API key, where keys are in use.' }, 'key')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-Api-Key' }, 'key_header')
    .addBasicAuth({ type: 'http', description: 'An API key as the password, with any name.' }, 'key_password')
    .addSecurityRequirements({})
    .addSecurityRequirements('key')
    .addSecurityRequirements('key_header')
    .addSecurityRequirements('key_password')
    .build();
  const components = { schemas: componentSchemas() as NonNullable<OpenAPIObject['components']>['schemas'] };
  return SwaggerModule.createDocument(app, { ...base, components });
}
