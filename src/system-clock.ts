import { Injectable } from '@nestjs/common';

import { Clock } from './jobs/ports/clock.port.js';

/** The machine's time. */
@Injectable()
export class SystemClock extends Clock {
  now(): number {
    return Date.now();
  }
}
