import { CallerModels } from './caller-models.js';
import { A1111GenerateController } from './generate.controller.js';
import { A1111ControlNetController, A1111ListsController } from './lists.controller.js';
import { A1111OptionsController } from './options.controller.js';
import { A1111PngInfoController } from './png-info.controller.js';
import { A1111ProgressController } from './progress.controller.js';
import { Tasks } from './tasks.js';

/** The dialect of AUTOMATIC1111's web interface, as of its version 1.10. */
export const A1111_CONTROLLERS = [
  A1111GenerateController,
  A1111ProgressController,
  A1111OptionsController,
  A1111ListsController,
  A1111ControlNetController,
  A1111PngInfoController,
];

export const A1111_PROVIDERS = [Tasks, CallerModels];
