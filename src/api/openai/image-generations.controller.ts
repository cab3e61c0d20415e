import { Body, Controller, Post, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';

import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { ServesImages, TakesGeneration } from './documents.js';
import { readGeneration } from './read-parameters.js';
import { ServeImages } from './serve-images.js';

@ApiTags('openai')
@Controller('v1/images/generations')
export class ImageGenerationsController {
  constructor(
    private readonly images: ServeImages,
    private readonly models: ModelCatalog,
  ) {}

  @Post()
  @ApiOperation({ operationId: 'createImage', summary: 'OpenAI Images: draw pictures from a text' })
  @TakesGeneration()
  @ServesImages('image_generation')
  create(@Body() body: unknown, @Req() request: Request, @Res() response: Response): Promise<void> {
    return this.images.serve(async () => readGeneration(body, this.models), 'image_generation', request, response);
  }
}
