import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOperation, ApiTags } from '@nestjs/swagger';

import { Picture } from '../../jobs/submit/picture.js';
import { pngTexts } from '../../png/texts.js';
import { TakesPictures } from '../http/picture-routes.js';
import { invalidFields, Problem } from '../http/problem.js';
import { isObject, readFields } from '../http/read-fields.js';
import { AnswersJson, TakesJson } from '../rest/openapi/answers.js';
import { PngInfoFields } from './dto/png-info.js';
import { parseInfotext } from './infotext/parse-infotext.js';
import { AnswersA1111Errors } from './openapi.js';

/** What is written in a picture, and what cannot be done with one. */
@ApiTags('AUTOMATIC1111')
@Controller('sdapi/v1')
export class A1111PngInfoController {
  @Post('png-info')
  @HttpCode(200)
  @ApiOperation({ operationId: 'a1111PngInfo', summary: 'Read the infotext of a PNG' })
  @TakesPictures()
  @TakesJson('A1111PngInfoRequest')
  @AnswersJson(200, 'The infotext, as it stands and as fields; empty for a picture without one.', 'A1111PngInfo')
  @AnswersA1111Errors(401, 422)
  pngInfo(@Body() body: unknown): Record<string, unknown> {
    const { fields, problems } = readFields(PngInfoFields.shape, { image: isObject(body) ? body['image'] : undefined });
    if (problems.length > 0) throw invalidFields(problems);
    if (!(fields.image instanceof Picture)) {
      const limit = { encoding: 'base64, or a data: URL with ;base64' };
      throw invalidFields([{ field: 'image', message: 'must be the picture itself', value: null, limit }]);
    }
    const texts = pngTexts(fields.image.bytes);
    const info = texts.get('parameters') ?? '';
    const items = Object.fromEntries([...texts].filter(([keyword]) => keyword !== 'parameters'));
    return { info, items, parameters: parseInfotext(info) };
  }

  /** Not in the OpenAPI document: there is no request it accepts. */
  @Post(['extra-single-image', 'extra-batch-images'])
  @ApiExcludeEndpoint()
  extras(): never {
    throw new Problem(
      'invalid_request',
      'pictures cannot be upscaled or restored here: there are no upscalers and no face restorers',
    );
  }

  /** Not in the OpenAPI document: there is no request it accepts. */
  @Post('interrogate')
  @ApiExcludeEndpoint()
  interrogate(): never {
    throw new Problem('invalid_request', 'pictures cannot be described here: there is no model that can');
  }
}
