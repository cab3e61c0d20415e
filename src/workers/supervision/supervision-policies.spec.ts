import { classifyExit } from './exit-classifier.js';
import type { ExitReport } from './exit-classifier.js';
import { describeStall, isStalled, msToVerdict } from './health-verdict.js';
import { RestartPolicy } from './restart-policy.js';
import { workerEnvironment } from './worker-environment.js';

describe('classifyExit', () => {
  const GONE: ExitReport = {
    code: null,
    signal: null,
    startError: null,
    killedFor: null,
    wasReady: true,
    lastWords: [],
    allocatedBytes: null,
  };
  const MISSING = ["ModuleNotFoundError: No module named 'torch'"];
  it.each<[Partial<ExitReport>, string, string]>([
    [{ signal: 'SIGKILL' }, 'worker_lost', 'as the system does when memory runs out'],
    [{ signal: 'SIGKILL', allocatedBytes: 3 * 2 ** 30 }, 'worker_lost', 'it last held 3072 MiB'],
    [
      { signal: 'SIGKILL', killedFor: { stall: true, why: 'its engine stood still' } },
      'worker_hung',
      'its engine stood still and it was killed',
    ],
    [
      { signal: 'SIGKILL', killedFor: { stall: false, why: 'it was not ready in time' }, lastWords: ['a warning'] },
      'worker_lost',
      'it was not ready in time: a warning',
    ],
    [{ signal: 'SIGSEGV', lastWords: ['Fatal Python error'] }, 'worker_lost', 'crashed (SIGSEGV): Fatal Python error'],
    [{ signal: 'SIGTERM' }, 'worker_lost', 'SIGTERM'],
    [{ code: 70 }, 'device_fatal', 'lost its device'],
    [{ code: 0 }, 'worker_lost', 'told to end by somebody else'],
    [{ code: 2, lastWords: ['unknown option'] }, 'worker_lost', 'refused its command line: unknown option'],
    [{ code: 1, wasReady: false, lastWords: MISSING }, 'worker_lost', `code 1 before it was ready: ${MISSING[0]}`],
    [{ code: 1 }, 'worker_lost', 'code 1'],
    [{ startError: new Error('ENOENT') }, 'worker_lost', 'could not be started: ENOENT'],
  ])('takes %j for %s', (report, kind, words) => {
    const verdict = classifyExit({ ...GONE, ...report });
    expect(verdict.kind).toBe(kind);
    expect(verdict.message).toContain(words);
  });
});

describe('isStalled', () => {
  const limits = { roundMs: 5000, silenceMs: 1000 };
  it.each([
    [{ loopAgeMs: 4900, silentMs: 0 }, false],
    [{ loopAgeMs: 5100, silentMs: 0 }, true],
    [{ loopAgeMs: 0, silentMs: 900 }, false],
    [{ loopAgeMs: 0, silentMs: 1100 }, true],
    [{ loopAgeMs: 4500, silentMs: 900 }, true],
  ] as const)('of %j is %s', (sighting, stalled) => {
    expect(isStalled(sighting, limits)).toBe(stalled);
  });

  it('is as far away as the nearer of both limits', () => {
    expect(msToVerdict({ loopAgeMs: 100, silentMs: 300 }, limits)).toBe(700);
    expect(msToVerdict({ loopAgeMs: 4500, silentMs: 300 }, limits)).toBe(200);
  });
});

describe('describeStall', () => {
  const limits = { roundMs: 120_000, silenceMs: 10_000 };
  it.each([
    [
      'a long round',
      { loopAgeMs: 120_400, silentMs: 0 },
      true,
      'workers.stall_timeout_ms (SAFELIGHT_WORKERS_STALL_TIMEOUT_MS)',
    ],
    ['a long round', { loopAgeMs: 120_400, silentMs: 0 }, true, 'for 120.4 s (a round may take 120 s'],
    ['a round beyond what was learned', { loopAgeMs: 121_000, silentMs: 0 }, false, 'SAFELIGHT_WORKERS_STALL_FLOOR_MS'],
    ['silence', { loopAgeMs: 100, silentMs: 10_500 }, false, 'did not answer for 10.5 s; 10 s are allowed'],
  ] as const)('tells %s (%j)', (_, sighting, isBeyondCeiling, words) => {
    const message = describeStall(sighting, limits, isBeyondCeiling);
    expect(message).toContain(words);
    expect(message).toMatch(/^its engine stood still/);
  });
});

describe('RestartPolicy', () => {
  const NEVER_READY = { upMs: 0, results: 0 };
  const policy = () => new RestartPolicy({ baseMs: 500, capMs: 3000 }, 60_000);

  it('starts again at once after the first death, waits longer and longer, and then tries now and then only', () => {
    const dying = policy();
    const restarts = Array.from({ length: 7 }, () => dying.afterDeath(NEVER_READY, 1));
    expect(restarts.map(({ delayMs }) => delayMs)).toEqual([0, 500, 1000, 2000, 60_000, 60_000, 60_000]);
    expect(restarts.map(({ isBroken }) => isBroken)).toEqual([false, false, false, false, true, true, true]);
    expect(restarts.at(-1)?.earlyDeaths).toBe(7);
  });

  it.each([
    ['a minute of life', { upMs: 60_000, results: 0 }],
    ['a life that gave a result', { upMs: 100, results: 1 }],
  ])('forgets early deaths after %s', (_, life) => {
    const mended = policy();
    for (let death = 0; death < 6; death += 1) mended.afterDeath(NEVER_READY, 1);
    expect(mended.afterDeath(life, 1)).toEqual({ delayMs: 0, earlyDeaths: 1, isBroken: false });
  });

  it('does not take a worker for well that came up and died without work', () => {
    const dying = policy();
    for (let death = 0; death < 4; death += 1) dying.afterDeath({ upMs: 59_000, results: 0 }, 1);
    expect(dying.afterDeath({ upMs: 59_000, results: 0 }, 1).isBroken).toBe(true);
  });
});

describe('workerEnvironment', () => {
  it('passes on what is listed and keeps secrets back', () => {
    const env = workerEnvironment(
      { id: 'cpu:0', kind: 'cpu', name: 'CPU' },
      { PATH: '/bin', DATABASE_URL: 'postgres://user:secret@db', AWS_SECRET_ACCESS_KEY: 'x', LC_ALL: 'C' },
    );
    expect(env).toMatchObject({ PATH: '/bin', LC_ALL: 'C', HF_HUB_OFFLINE: '1' });
    expect(JSON.stringify(env)).not.toMatch(/secret|AWS/i);
  });

  it('tells it where the hub keeps models, and no key to the hub', () => {
    const where = { HF_HOME: '/a', HF_HUB_CACHE: '/b', HUGGINGFACE_HUB_CACHE: '/c', XDG_CACHE_HOME: '/d' };
    const env = workerEnvironment(
      { id: 'cpu:0', kind: 'cpu', name: 'CPU' },
      { ...where, HF_TOKEN: 'key', HUGGING_FACE_HUB_TOKEN: 'key', HUGGINGFACE_HUB_CACHE_KEY: 'key' },
    );
    expect(env).toMatchObject(where);
    expect(Object.values(env)).not.toContain('key');
  });

  it('shows a worker of one card only that card', () => {
    const env = workerEnvironment({ id: 'cuda:3', kind: 'cuda', name: 'GPU' }, { CUDA_VISIBLE_DEVICES: '0,1,2,3' });
    expect(env['CUDA_VISIBLE_DEVICES']).toBe('3');
  });
});
