import type { ExperimentFacts } from './validity.js';
import { validityOf } from './validity.js';

const server = {
  identity: 'one',
  queueBound: 1016,
  system: null,
  openJobs: 0,
  workers: [{ id: 'w0', pid: 7 }],
};
const times = { p50: 200, p95: 300, p99: 400 };

const SOUND: ExperimentFacts = {
  figures: {
    requests: 500,
    succeeded: 500,
    refused: {},
    failed: {},
    seconds: 100,
    requestsPerSecond: 5,
    imagesPerSecond: 5,
    endToEnd: times,
    sinceSent: times,
    queue: times,
    entries: [],
  },
  client: { loopDelayP99Ms: 1, loopUtilization: 0.1 },
  lateP99Ms: 2,
  heldBack: 0,
  mostOpen: 20,
  offeredPerSecond: 5,
  before: server,
  after: server,
  foreignProcessors: 0.05,
};

const withFigures = (figures: Partial<ExperimentFacts['figures']>) => ({ figures: { ...SOUND.figures, ...figures } });

describe('the validity of an experiment', () => {
  it('has nothing to say of a sound one', () => {
    expect(validityOf(SOUND)).toEqual({ warnings: [], unchecked: [] });
  });

  const CASES: readonly (readonly [string, Partial<ExperimentFacts>, string])[] = [
    ['more requests open than the queue takes', { mostOpen: 1017 }, 'what is measured is its refusals'],
    ['a limit of the key', withFigures({ refused: { quota_exceeded: 2 } }), 'a limit of the key (quota_exceeded)'],
    ['a late event loop', { client: { loopDelayP99Ms: 30, loopUtilization: 0.1 } }, 'generator itself was busy'],
    ['a busy event loop', { client: { loopDelayP99Ms: 1, loopUtilization: 0.9 } }, 'generator itself was busy'],
    ['a generator that came late', { lateP99Ms: 11 }, 'the generator was late'],
    ['requests held back', { heldBack: 3 }, '3 of 500 requests were sent after they were due'],
    ['too few for p99', withFigures({ succeeded: 499 }), 'too few for p99'],
    ['too few for p95', withFigures({ succeeded: 99 }), 'too few for p95 and p99'],
    ['failures', withFigures({ failed: { internal: 1 } }), '1 requests failed'],
    ['more than the server can serve', withFigures({ requestsPerSecond: 4.4 }), 'the queue grew'],
    ['a restart of the server', { after: { ...server, identity: 'two' } }, 'The server was restarted'],
    ['a restart of a worker', { after: { ...server, workers: [{ ...server.workers[0]!, pid: 8 }] } }, 'w0'],
    ['a worker that went away', { after: { ...server, workers: [] } }, 'w0'],
    ['jobs of others', { before: { ...server, openJobs: 2 } }, '2 jobs of others'],
    ['other work on the machine', { foreignProcessors: 0.5 }, 'busy with other work'],
  ];
  it.each(CASES)('warns of %s, and of nothing else', (_, change, sentence) => {
    expect(validityOf({ ...SOUND, ...change })).toEqual({
      warnings: [{ check: expect.any(String), text: expect.stringContaining(sentence) }],
      unchecked: [],
    });
  });

  const HARMLESS: readonly (readonly [string, Partial<ExperimentFacts>])[] = [
    ['refusals of a full queue', withFigures({ refused: { queue_full: 9 } })],
    ['as many open as the queue takes', { mostOpen: 1016 }],
    ['slow answers that explain lateness', { lateP99Ms: 40, ...withFigures({ endToEnd: { ...times, p50: 900 } }) }],
    ['a burst without a pace', { offeredPerSecond: null, ...withFigures({ requestsPerSecond: 1 }) }],
  ];
  it.each(HARMLESS)('takes no offence at %s', (_, change) => {
    expect(validityOf({ ...SOUND, ...change }).warnings).toEqual([]);
  });

  it('says what it could not check', () => {
    const silent = { identity: null, openJobs: null, queueBound: null, workers: null, system: null };
    const facts = { ...SOUND, before: silent, after: silent, foreignProcessors: null };
    const { warnings, unchecked } = validityOf(facts);
    expect(warnings).toEqual([]);
    expect(unchecked).toHaveLength(5);
  });
});
