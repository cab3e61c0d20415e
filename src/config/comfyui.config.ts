import { configArea } from './config-area.js';
import type { Kind } from './kinds.js';
import { accept, integer, orNull, refuse } from './kinds.js';
import { given } from './setting.js';

const HOUR_MS = 3_600_000;
const ALLOWED = 'the address of a ComfyUI server, such as http://127.0.0.1:8188, without user, query and fragment';

/** Without a slash at the end, so that paths can be put behind it. */
const serverAddress: Kind<string> = {
  allowed: ALLOWED,
  fromText: String,
  read: (value) => {
    const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null;
    if (url === null || !['http:', 'https:'].includes(url.protocol)) return refuse(value, ALLOWED);
    if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
      return refuse(value, ALLOWED);
    return accept(url.href.replace(/\/+$/, ''));
  },
};

export class ComfyUiConfig extends configArea({
  section: 'comfyui',
  title: 'ComfyUI',
  about:
    'A ComfyUI server that draws what no worker here can: models whose entry says how they are called there (`comfyui`, see below), text to image of SD 1.5, SDXL and Flux. Workers come first.',
  fields: {
    url: given(orNull(serverAddress), null, 'Where it answers; null: there is none.'),
    concurrency: given(
      integer({ min: 1, max: 64 }),
      2,
      'Attempts that may be there at a time. ComfyUI draws one after the other; the second keeps it from waiting for the next.',
    ),
    takeOverMs: given(
      integer({ min: 0, max: HOUR_MS }),
      10_000,
      'Milliseconds all workers that could serve a model must have been gone before its jobs go to ComfyUI: one that is restarted is back sooner. Jobs that every worker failed at go there at once.',
    ),
    giveUpMs: given(
      integer({ min: 0, max: HOUR_MS }),
      120_000,
      'Milliseconds ComfyUI must have been out of reach before jobs that nobody else could serve either fail as `model_unavailable`; until then they wait.',
    ),
    requestTimeoutMs: given(
      integer({ min: 100, max: HOUR_MS }),
      15_000,
      'Milliseconds it may take to answer one request, the download of a picture among them.',
    ),
    lostTimeoutMs: given(
      integer({ min: 100, max: HOUR_MS }),
      30_000,
      'Milliseconds it may be out of reach while it draws before the attempt is made again.',
    ),
    queueTimeoutMs: given(
      integer({ min: 100, max: 24 * HOUR_MS }),
      600_000,
      'Milliseconds an attempt may wait in its queue, behind what others gave it to draw.',
    ),
    stallTimeoutMs: given(
      integer({ min: 100, max: HOUR_MS }),
      300_000,
      'Milliseconds without a sign of progress after which an attempt is given up; it must exceed the loading of the largest model.',
    ),
    healthIntervalMs: given(integer({ min: 50, max: 60_000 }), 5000, 'Milliseconds between two looks at it.'),
  },
}) {}
