import { JobEvents } from '../jobs/ports/job-events.port.js';

/** Events whose owner ends them: in bounded time, and safe to call twice. */
export abstract class ClosableJobEvents extends JobEvents {
  abstract close(): Promise<void>;
}
