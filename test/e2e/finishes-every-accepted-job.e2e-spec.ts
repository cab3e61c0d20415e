import { eventually, isAlive } from '../support/signals.js';
import { ServerProcess } from '../support/server-process.js';

// Long enough to be killed in the middle of it on any machine.
const LONG = { prompt: 'a red circle', num_inference_steps: 150, width: 128, height: 128, seed: 11 };
const SHORT = { prompt: 'a blue square', num_inference_steps: 4, seed: 5 };

describe('an accepted job', () => {
  let server: ServerProcess;
  beforeEach(async () => {
    server = await ServerProcess.start();
  });
  afterEach(async () => {
    await server.stop();
    server.removeData();
  });

  it('finishes with two attempts on record when its worker is killed in the middle', async () => {
    const pid = await server.workerPid();
    const { id } = await server.submit(LONG);
    await server.denoising(id);
    process.kill(pid, 'SIGKILL');
    const job = await server.finished(id);
    expect(job.state).toBe('succeeded');
    expect(job.attempts.map(({ number, outcome, failure }) => [number, outcome, failure?.kind])).toEqual([
      [1, 'failed', 'worker_lost'],
      [2, 'succeeded', undefined],
    ]);
    expect(job.attempts[0]!.step).toBeGreaterThan(0);
    expect(await server.workerPid()).not.toBe(pid);
  });

  it('finishes after a restart when the server is killed in the middle, and no worker is left behind', async () => {
    const pid = await server.workerPid();
    const running = await server.submit(LONG);
    const queued = await server.submit(SHORT);
    await server.denoising(running.id);
    await server.killHard();
    await eventually('the worker is gone', () => Promise.resolve(isAlive(pid) ? null : true), 10_000);
    server = await server.restart();
    const [first, second] = await Promise.all([server.finished(running.id), server.finished(queued.id)]);
    expect([first.state, second.state]).toEqual(['succeeded', 'succeeded']);
    expect(first.attempts).toHaveLength(2);
    expect(first.attempts[0]).toMatchObject({ outcome: 'failed', failure: { kind: 'worker_lost' } });
  });

  it('is given back unharmed when the server is told to stop before it can end, and finishes afterwards', async () => {
    await server.stop();
    server.removeData();
    server = await ServerProcess.start({ shutdown: { drain_ms: 0 } });
    const { id } = await server.submit(LONG);
    await server.denoising(id);
    await server.stop();
    server = await server.restart();
    const job = await server.finished(id);
    expect(job.attempts.map(({ outcome }) => outcome)).toEqual(['returned', 'succeeded']);
  });

  it('makes the same picture after a crash as without one', async () => {
    const calm = await server.finished((await server.submit({ ...LONG, exact: true })).id);
    const { id } = await server.submit({ ...LONG, exact: true });
    await server.denoising(id);
    process.kill(await server.workerPid(), 'SIGKILL');
    const disturbed = await server.finished(id);
    expect(disturbed.attempts).toHaveLength(2);
    expect(await pixels(server, disturbed)).toEqual(await pixels(server, calm));
  });
});

/** The IDAT chunks of a PNG: its pixels without the text chunks, which name the job. */
async function pixels(server: ServerProcess, job: Parameters<ServerProcess['picture']>[0]): Promise<Buffer> {
  const png = await server.picture(job);
  const chunks: Buffer[] = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      chunks.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  return Buffer.concat(chunks);
}
