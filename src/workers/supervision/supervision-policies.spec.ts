import { classifyExit } from './exit-classifier.js';
import { isStalled } from './health-verdict.js';
import { RestartPolicy } from './restart-policy.js';
import { workerEnvironment } from './worker-environment.js';

describe('classifyExit', () => {
  it.each([
    [{ code: null, signal: 'SIGKILL', killedForStall: false }, 'worker_lost', 'SIGKILL'],
    [{ code: null, signal: 'SIGKILL', killedForStall: true }, 'worker_hung', 'stood still'],
    [{ code: 70, signal: null, killedForStall: false }, 'device_fatal', 'device'],
    [{ code: 1, signal: null, killedForStall: false }, 'worker_lost', 'code 1'],
  ] as const)('takes %j for %s', (report, kind, word) => {
    const verdict = classifyExit(report);
    expect(verdict.kind).toBe(kind);
    expect(verdict.message).toContain(word);
  });
});

describe('isStalled', () => {
  const limits = { stallTimeoutMs: 1000, loadTimeoutMs: 5000 };
  it.each([
    [{ loopAgeMs: 900, silentMs: 0, phase: 'denoise' }, false],
    [{ loopAgeMs: 1100, silentMs: 0, phase: 'denoise' }, true],
    [{ loopAgeMs: 0, silentMs: 1100, phase: null }, true],
    [{ loopAgeMs: 4000, silentMs: 0, phase: 'load' }, false],
    [{ loopAgeMs: 4000, silentMs: 2000, phase: 'load' }, true],
  ] as const)('of %j is %s', (sighting, stalled) => {
    expect(isStalled(sighting, limits)).toBe(stalled);
  });
});

describe('RestartPolicy', () => {
  it('starts again at once after the first death, then waits longer and longer', () => {
    const policy = new RestartPolicy({ baseMs: 500, capMs: 3000 });
    expect([0, 0, 0, 0, 0].map(() => policy.delayAfterDeath(0, 1))).toEqual([0, 500, 1000, 2000, 3000]);
  });

  it('forgets early deaths after a minute of life', () => {
    const policy = new RestartPolicy({ baseMs: 500, capMs: 3000 });
    policy.delayAfterDeath(0, 1);
    policy.delayAfterDeath(0, 1);
    expect(policy.delayAfterDeath(60_000, 1)).toBe(0);
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
