import { freemem, totalmem } from 'node:os';

import { Controller, Get, HttpCode, Post } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOperation, ApiTags } from '@nestjs/swagger';

import { FootprintStore } from '../../jobs/ports/footprint-store.port.js';
import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { unlessAway } from '../../jobs/unless-away.js';
import { Answers, AnswersJson } from '../rest/openapi/answers.js';
import {
  controlNetsView,
  lorasView,
  memoryView,
  modelsView,
  samplersView,
  schedulesView,
  scriptsView,
} from './list-views.js';
import { AnswersA1111Errors } from './openapi.js';

/** What there is to choose from. Lists of what this server does not have are empty, which clients take for an answer. */
@ApiTags('AUTOMATIC1111')
@Controller('sdapi/v1')
export class A1111ListsController {
  constructor(
    private readonly models: ModelCatalog,
    private readonly workers: WorkerInventory,
    private readonly footprints: FootprintStore,
  ) {}

  @Get('sd-models')
  @ApiOperation({ operationId: 'a1111Models', summary: 'List the models' })
  @AnswersJson(200, 'All models this server was told to serve.', 'A1111Models')
  @AnswersA1111Errors(401)
  async sdModels(): Promise<object[]> {
    return modelsView(this.models.list(), (await unlessAway(this.footprints.all())) ?? []);
  }

  @Get('samplers')
  @ApiOperation({ operationId: 'a1111Samplers', summary: 'List the samplers' })
  @AnswersJson(200, 'Those some model can be run with.', 'A1111Samplers')
  @AnswersA1111Errors(401)
  samplers(): object[] {
    return samplersView(this.models.list());
  }

  @Get('schedulers')
  @ApiOperation({ operationId: 'a1111Schedules', summary: 'List the schedules of noise levels' })
  @AnswersJson(200, 'Names for `scheduler`.', 'A1111Schedules')
  @AnswersA1111Errors(401)
  schedulers(): object[] {
    return schedulesView();
  }

  @Get('loras')
  @ApiOperation({ operationId: 'a1111Loras', summary: 'List the LoRAs' })
  @AnswersJson(200, 'Names for `<lora:NAME:WEIGHT>`, of all models.', 'A1111Loras')
  @AnswersA1111Errors(401)
  loras(): object[] {
    return lorasView(this.models.list());
  }

  @Get('scripts')
  @ApiOperation({ operationId: 'a1111Scripts', summary: 'List the scripts' })
  @Answers(200, 'ControlNet, where a model has one.', ['application/json'])
  @AnswersA1111Errors(401)
  scripts(): object {
    return scriptsView(this.models.list());
  }

  @Get('memory')
  @ApiOperation({ operationId: 'a1111Memory', summary: 'Read the memory of machine and device' })
  @Answers(200, 'In bytes.', ['application/json'])
  @AnswersA1111Errors(401)
  memory(): object {
    return memoryView({ free: freemem(), total: totalmem() }, this.workers.list());
  }

  @Get('upscalers')
  @ApiOperation({ operationId: 'a1111Upscalers', summary: 'List the upscalers' })
  @Answers(200, 'The one that does nothing.', ['application/json'])
  @AnswersA1111Errors(401)
  upscalers(): object[] {
    return [{ name: 'None', model_name: null, model_path: null, model_url: null, scale: 1 }];
  }

  @Get([
    'hypernetworks',
    'face-restorers',
    'realesrgan-models',
    'prompt-styles',
    'sd-vae',
    'latent-upscale-modes',
    'script-info',
    'extensions',
  ])
  @ApiExcludeEndpoint()
  nothing(): object[] {
    return [];
  }

  @Get('embeddings')
  @ApiExcludeEndpoint()
  embeddings(): object {
    return { loaded: {}, skipped: {} };
  }

  @Get('cmd-flags')
  @ApiExcludeEndpoint()
  commandFlags(): object {
    return { api: true };
  }

  @Post('refresh-checkpoints')
  @HttpCode(200)
  @ApiOperation({ operationId: 'a1111RefreshModels', summary: 'Do nothing: the models are fixed at the start' })
  @Answers(200, 'Always.', ['application/json'])
  @AnswersA1111Errors(401)
  refreshModels(): object {
    return {};
  }

  @Post('unload-checkpoint')
  @HttpCode(200)
  @ApiOperation({ operationId: 'a1111UnloadModel', summary: 'Do nothing: the server manages the memory of its models' })
  @Answers(200, 'Always.', ['application/json'])
  @AnswersA1111Errors(401)
  unloadModel(): object {
    return {};
  }

  @Post(['refresh-vae', 'refresh-loras', 'refresh-embeddings', 'reload-checkpoint'])
  @HttpCode(200)
  @ApiExcludeEndpoint()
  unchanged(): object {
    return {};
  }
}

/** What clients ask the ControlNet extension for. */
@ApiTags('AUTOMATIC1111')
@Controller('controlnet')
export class A1111ControlNetController {
  constructor(private readonly models: ModelCatalog) {}

  @Get('model_list')
  @ApiOperation({ operationId: 'a1111ControlNets', summary: 'List the ControlNets' })
  @Answers(200, 'Names for `model` of a unit, of all models.', ['application/json'])
  @AnswersA1111Errors(401)
  modelList(): object {
    return { model_list: controlNetsView(this.models.list()) };
  }

  @Get('module_list')
  @ApiExcludeEndpoint()
  moduleList(): object {
    return { module_list: ['none'], module_detail: {} };
  }

  /** Of the extension's interface, by which clients decide how to send units. */
  @Get('version')
  @ApiExcludeEndpoint()
  version(): object {
    return { version: 2 };
  }
}
