import {
  ErrorSchema,
  LorasSchema,
  ModelsSchema,
  OptionsSchema,
  PicturesSchema,
  PngInfoSchema,
  ProgressSchema,
  SamplersSchema,
  SchedulesSchema,
  TaskProgressSchema,
} from './answers.js';
import { ImageToImageFields, TextToImageFields } from './generation-fields.js';
import { PngInfoFields } from './png-info.js';
import { TaskProgressFields } from './task-progress.js';

/** Schemas of this dialect by the names they have in the OpenAPI document. */
export const A1111_COMPONENTS = {
  A1111TextToImage: TextToImageFields,
  A1111ImageToImage: ImageToImageFields,
  A1111Pictures: PicturesSchema,
  A1111Progress: ProgressSchema,
  A1111TaskProgressRequest: TaskProgressFields,
  A1111TaskProgress: TaskProgressSchema,
  A1111Options: OptionsSchema,
  A1111PngInfoRequest: PngInfoFields,
  A1111PngInfo: PngInfoSchema,
  A1111Models: ModelsSchema,
  A1111Samplers: SamplersSchema,
  A1111Schedules: SchedulesSchema,
  A1111Loras: LorasSchema,
  A1111Error: ErrorSchema,
} as const;
