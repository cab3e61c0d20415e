import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readLock, takeLock } from '../../scripts/bootstrap/lock.mjs';
import { identify, isAlive } from '../../scripts/bootstrap/process-id.mjs';

let folder: string;
let path: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safelight-lock-'));
  path = join(folder, 'state', 'bootstrap.lock');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** A process that does nothing until it is killed, leader of its own group as the commands of bootstrap are. */
const startSleeper = async () => {
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child;
};
const kill = async (child: ChildProcess) => {
  child.kill('SIGKILL');
  await once(child, 'exit');
};
const dead = async () => {
  const child = await startSleeper();
  const id = identify(child.pid ?? 0);
  await kill(child);
  return id;
};
const lay = async (content: unknown) => {
  const lock = await takeLock(path);
  lock.release();
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
};

describe('readLock', () => {
  const content = { holder: { pid: 1234, startedAt: '99' } };

  it.each([
    ['free', undefined, true],
    ['held', JSON.stringify(content), true],
    ['stale', JSON.stringify(content), false],
    ['stale', '{"holder"', true],
    ['stale', '{}', true],
  ])('is %s for %j when its holder lives: %s', (state, text, alive) => {
    expect(readLock(text, () => alive).state).toBe(state);
  });
});

describe('isAlive', () => {
  it('knows this process and one that ended', async () => {
    expect(isAlive(identify(process.pid))).toBe(true);
    expect(isAlive(await dead())).toBe(false);
  });

  it('does not take a reused process id for the old process', () => {
    expect(isAlive({ pid: process.pid, startedAt: process.platform === 'linux' ? '1' : '' })).toBe(
      process.platform !== 'linux',
    );
  });
});

describe('takeLock', () => {
  it('takes a free lock and leaves nothing behind on release', async () => {
    const lock = await takeLock(path);
    expect(readLock(readFileSync(path, 'utf8')).content?.holder.pid).toBe(process.pid);
    lock.release();
    lock.release();
    expect(readdirSync(join(folder, 'state'))).toEqual([]);
  });

  it('takes over from a holder that was killed', async () => {
    await lay({ holder: await dead() });
    const lock = await takeLock(path);
    expect(readLock(readFileSync(path, 'utf8')).content?.holder.pid).toBe(process.pid);
    lock.release();
  });

  it('takes over a lock that cannot be read', async () => {
    await lay('{"holder"');
    const lock = await takeLock(path);
    lock.release();
    expect(existsSync(path)).toBe(false);
  });

  it('ends the command that a killed holder left running', async () => {
    const orphan = await startSleeper();
    const exited = once(orphan, 'exit');
    await lay({ holder: await dead(), child: identify(orphan.pid ?? 0) });
    const lock = await takeLock(path);
    expect(await exited).toEqual([null, 'SIGKILL']);
    lock.release();
  });

  it('waits for a holder that is alive, says so once, and goes on when it is gone', async () => {
    const holder = await startSleeper();
    await lay({ holder: identify(holder.pid ?? 0) });
    const waits: number[] = [];
    let told: () => void;
    const waiting = new Promise<void>((resolve) => {
      told = resolve;
    });
    const taken = takeLock(path, {
      pollMs: 5,
      onWait: ({ pid }) => {
        waits.push(pid);
        told();
      },
    });
    await waiting;
    await kill(holder);
    const lock = await taken;
    expect(waits).toEqual([holder.pid]);
    lock.release();
  });

  it('notes the running command and forgets it', async () => {
    const lock = await takeLock(path);
    lock.noteChild(process.pid);
    expect(readLock(readFileSync(path, 'utf8')).content?.child?.pid).toBe(process.pid);
    lock.noteChild(undefined);
    expect(readLock(readFileSync(path, 'utf8')).content?.child).toBeUndefined();
    lock.release();
  });
});
