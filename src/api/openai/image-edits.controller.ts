import { Controller, Post, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';

import { HttpConfig } from '../../config/http.config.js';
import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { ServesImages, TakesEdit } from './documents.js';
import { readForm } from './read-form.js';
import { readEdit } from './read-parameters.js';
import { ServeImages } from './serve-images.js';

@ApiTags('openai')
@Controller('v1/images/edits')
export class ImageEditsController {
  constructor(
    private readonly images: ServeImages,
    private readonly models: ModelCatalog,
    private readonly http: HttpConfig,
  ) {}

  @Post()
  @ApiOperation({ operationId: 'editImage', summary: 'OpenAI Images: draw pictures from a picture and a text' })
  @TakesEdit()
  @ServesImages('image_edit')
  async edit(@Req() request: Request, @Res() response: Response): Promise<void> {
    const read = async () => readEdit(await readForm(request, response, this.http.maxBodyBytes), this.models);
    await this.images.serve(read, 'image_edit', request, response);
  }
}
