import { Controller, Get, Header } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';

import { AdmitsAll } from '../access/admits.js';
import { errorReferencePage } from '../http/error-reference.js';

/** Where somebody begins who only knows the address. */
@ApiExcludeController()
@AdmitsAll()
@Controller()
export class RootController {
  @Get()
  root(): object {
    const links = {
      docs: '/docs',
      openapi: '/openapi.json',
      errors: '/docs/errors',
      jobs: '/v1/jobs',
      models: '/v1/models',
    };
    return { name: 'safelight', links };
  }

  /** What `type` of a problem document points to. */
  @Get('docs/errors')
  @Header('Content-Type', 'text/markdown; charset=utf-8')
  errors(): string {
    return errorReferencePage();
  }
}
