import { setTimeout as wait } from 'node:timers/promises';

import type { Fault } from '../fault.js';

const LONGEST_FULL_MS = 3000;

export const fullDisk: Fault = {
  name: 'full_disk',
  impossible: ({ disk }) => disk.impossible,
  async throwAt({ disk }, dice, signal) {
    const fullMs = Math.round(dice.next() * LONGEST_FULL_MS);
    try {
      disk.fill();
      await wait(fullMs, undefined, { signal }).catch(() => undefined);
    } finally {
      disk.free();
    }
    return { node: null, what: `disk of the pictures full for ${fullMs} ms` };
  },
};
