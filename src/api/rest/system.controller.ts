import { Controller, Get, Inject } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';

import type { Settings } from '../../config/settings.js';
import { SETTINGS } from '../../config/settings.js';
import { Clock } from '../../jobs/ports/clock.port.js';
import { Drains } from '../../jobs/ports/drains.port.js';
import { FootprintStore } from '../../jobs/ports/footprint-store.port.js';
import { JobStore } from '../../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { NodeIdentity } from '../../jobs/ports/node-identity.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { unlessAway } from '../../jobs/unless-away.js';
import { Admits } from '../access/admits.js';
import type { SystemView } from './dto/system-schemas.js';
import { AnswersJson } from './openapi/answers.js';
import { systemView } from './system-view.js';

@ApiTags('workers')
@Admits('monitor', 'operator')
@Controller('v1/system')
export class SystemController {
  constructor(
    @Inject(SETTINGS) private readonly settings: Settings,
    private readonly identity: NodeIdentity,
    private readonly drains: Drains,
    private readonly store: JobStore,
    private readonly footprints: FootprintStore,
    private readonly workers: WorkerInventory,
    private readonly models: ModelCatalog,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ApiOperation({
    operationId: 'getSystem',
    summary: 'Everything that shapes a picture or a figure: versions, devices, hashes of models, settings in force',
  })
  @AnswersJson(200, 'This node; also while its database is away.', 'System')
  async get(): Promise<SystemView> {
    const [database, footprints] = await Promise.all([
      unlessAway(this.store.engine()),
      unlessAway(this.footprints.all()),
    ]);
    return systemView({
      identity: this.identity,
      state: this.drains.nodeState(),
      now: this.clock.now(),
      uptimeSeconds: process.uptime(),
      database,
      isShared: this.store.isShared,
      workers: this.workers.list(),
      models: this.models.list(),
      footprints: footprints ?? [],
      settings: this.settings,
    });
  }
}
