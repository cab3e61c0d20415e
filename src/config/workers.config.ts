import { configArea } from './config-area.js';
import { flag, integer, orNull, program } from './kinds.js';
import { given } from './setting.js';

const HOUR_MS = 3_600_000;

export class WorkersConfig extends configArea({
  section: 'workers',
  title: 'Workers',
  about: 'The Python processes that make the pictures, one per device.',
  fields: {
    python: given(
      orNull(program('a Python interpreter that has the packages of python-worker/requirements.txt')),
      null,
      'Interpreter the workers run on; null takes the environment that the set-up made in `python-worker/.venv`.',
    ),
    permits: given(
      integer({ min: 1, max: 256 }),
      16,
      'Attempts in flight per device. Compatible ones share forwards; 1 runs strictly one at a time.',
    ),
    threads: given(
      integer({ min: 0, max: 1024 }),
      0,
      "Threads a worker computes with on the CPU; 0 leaves the choice to the worker. Floating-point sums, and so a picture's last bits, may depend on it.",
    ),
    startTimeoutMs: given(
      integer({ min: 100, max: HOUR_MS }),
      180_000,
      'Milliseconds a worker may take to start; importing torch from a cold disk takes most of it.',
    ),
    stallTimeoutMs: given(
      integer({ min: 100, max: HOUR_MS }),
      120_000,
      'Milliseconds the engine loop of a worker may stand still before the worker is killed and its jobs are tried again. Must exceed the longest single step. It holds for work of a kind that the worker has not yet finished once; for the rest a shorter limit is learned from the pace of its steps. Work that outlasts it in a worker that still answers is given twice the time in the next one, up to eight times.',
    ),
    stallFloorMs: given(
      integer({ min: 100, max: HOUR_MS }),
      10_000,
      'Milliseconds; no learned limit is shorter than this, so that a worker on a busy machine is not killed for nothing.',
    ),
    healthIntervalMs: given(integer({ min: 50, max: 60_000 }), 1000, 'Milliseconds between two looks at a worker.'),
    stopTimeoutMs: given(
      integer({ min: 0, max: HOUR_MS }),
      10_000,
      'Milliseconds a worker may take to stop before it is killed.',
    ),
    restartBaseMs: given(
      integer({ min: 0, max: HOUR_MS }),
      500,
      'Milliseconds; the longest wait before a dead worker is started again, doubled with every early death.',
    ),
    restartCapMs: given(
      integer({ min: 0, max: HOUR_MS }),
      30_000,
      'Milliseconds; no wait before a restart is longer than this.',
    ),
    breakerRetryMs: given(
      integer({ min: 0, max: HOUR_MS }),
      60_000,
      'Milliseconds between two trials of a worker that has died five times in a row without having worked.',
    ),
    previewIntervalMs: given(
      integer({ min: 0, max: 60_000 }),
      500,
      'Milliseconds between two preview frames of a job, made only while somebody watches; 0 makes none.',
    ),
    memoryBudgetBytes: given(
      integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      0,
      'Bytes of device memory a worker may use; 0 sets no limit but what is there.',
    ),
    memoryReturnMinBytes: given(
      orNull(integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
      null,
      'Bytes of the weights of the smallest model after whose leaving a worker is restarted when less than half of them comes back. Null: 64 MiB on NVIDIA and AMD cards; never on the CPU and on Apple, where the memory of the whole process is all there is to look at.',
    ),
    checkpointIntervalMs: given(
      integer({ min: 0, max: HOUR_MS }),
      5000,
      'Milliseconds between two checkpoints of a running job; 0 makes them only when it is suspended or out of memory.',
    ),
    preload: given(flag(), true, 'Load the default model when a worker starts rather than at its first job.'),
  },
  rules: [
    {
      field: 'restartCapMs',
      holds: ({ restartBaseMs, restartCapMs }) => restartCapMs >= restartBaseMs,
      allowed: 'at least workers.restart_base_ms',
    },
  ],
}) {}
