import { InProcessJobEvents } from '../../src/events/in-process-job-events.js';
import { openJobEvents } from '../../src/events/open-job-events.js';
import { createLog } from '../../src/telemetry/log.js';
import { describeJobEvents, frameOf } from './job-events.suite.js';

const node = { id: 'a', name: 'a' };

async function inOneProcess() {
  const events = await openJobEvents({ databaseUrl: null, node, log: createLog('silent') });
  return { there: events, here: events };
}

describeJobEvents('InProcessJobEvents', inOneProcess, 'here');

describe('InProcessJobEvents', () => {
  it('is what a node without a shared database gets', async () => {
    expect((await inOneProcess()).here).toBeInstanceOf(InProcessJobEvents);
  });

  it('holds a bounded number of frames: those of the jobs that had one last', () => {
    const events = new InProcessJobEvents();
    for (let job = 0; job < 300; job += 1) events.publishPreview(frameOf(`job-${job}`, 1, 1));
    expect(events.latestPreview('job-0')).toBeNull();
    expect(events.latestPreview('job-43')).toBeNull();
    expect(events.latestPreview('job-44')).not.toBeNull();
    expect(events.latestPreview('job-299')).not.toBeNull();
  });
});
