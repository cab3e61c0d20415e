import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { atExit } from '../support/at-exit.js';

const MEBIBYTES = 256;
const FILLER = 'filler';

/** A folder that can be made full without harm to anything else. */
export interface SmallDisk {
  readonly folder: string;
  /** Null: it can be filled; else why it cannot. */
  readonly impossible: string | null;
  fill(): void;
  free(): void;
  remove(): void;
}

/** A file system in memory, of its own; a plain folder that cannot be filled where mounting is not allowed. */
export function smallDisk(mount: string): SmallDisk {
  mkdirSync(mount, { recursive: true });
  const folder = join(mount, 'artifacts');
  const filler = join(mount, FILLER);
  const impossible = mounted(mount);
  mkdirSync(folder, { recursive: true });
  const remove = () => {
    if (impossible === null) execFileSync('umount', ['--lazy', mount]);
  };
  const forget = atExit(remove);
  return {
    folder,
    impossible,
    fill() {
      const { bavail, bsize } = statfsSync(mount);
      // Two pages are left, so that what fails is the writing of a picture rather than the naming of a file.
      try {
        writeFileSync(filler, Buffer.alloc(Math.max(0, bavail - 2) * bsize));
      } catch (error) {
        // Somebody wrote at the same time: it is full all the same.
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    },
    free: () => rmSync(filler, { force: true }),
    remove() {
      forget();
      remove();
    },
  };
}

function mounted(mount: string): string | null {
  if (process.platform !== 'linux') return 'a file system in memory can be mounted on Linux only';
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${MEBIBYTES}m`, 'tmpfs', mount], { stdio: 'ignore' });
    return null;
  } catch {
    return 'mounting a file system needs rights that this process does not have';
  }
}
