"""``python -m safelight_worker.pipelines.input_decoder MEMORY_BYTES CPU_SECONDS``: decodes pictures nobody has looked at, within
the bounds it is given: address space of the process, and computing for each picture.

A process of its own, because decoding holds the interpreter for seconds and no thread can be ended. Reads a JSON line for
each picture from stdin - ``path``, ``field``, ``width``, ``height``, 0 and 0 for its own size, and ``mask``: null, ``kept`` or
``painted``, as its transparency is - and answers with a JSON line: ``kind`` and ``message`` of a failure, or ``mode``, ``width``, ``height`` and the number of ``bytes`` that follow.
Ends with its stdin, and where a picture takes too long, as the system ends it: by SIGXCPU.
"""

from __future__ import annotations

import json
import math
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from safelight_worker.pipelines.input_images import open_mask, open_rgb
from safelight_worker.types import FailureKind, WorkerError

#: Sides of a picture that is taken in its own size. Such pictures are looked at by image encoders, in 224 to 448 pixels.
MAX_OWN_SIDE = 2048


def main(memory_bytes: int, cpu_seconds: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's: whoever started this ends it
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # It writes to its stdout and nowhere else, and leaves no image of hostile data behind.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        _limit_cpu(cpu_seconds)
        _answer(json.loads(line), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _limit_cpu(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _answer(asked: dict[str, Any], out: BinaryIO) -> None:
    try:
        picture = _decoded(**asked)
        data = picture.tobytes()
    except WorkerError as error:
        _tell(out, kind=error.kind.value, message=error.message)
    except MemoryError:
        message = f"{asked['field']}: the picture takes too much memory to decode"
        _tell(out, kind=FailureKind.INVALID_REQUEST.value, message=message)
    else:
        _tell(out, mode=picture.mode, width=picture.width, height=picture.height, bytes=len(data))
        out.write(data)


def _decoded(path: str, field: str, width: int, height: int, mask: str | None) -> Image.Image:
    if mask is not None:
        return open_mask(Path(path), field, width, height, transparency_painted=mask == "painted")
    picture = open_rgb(Path(path), field, width, height)
    if not width:
        picture.thumbnail((MAX_OWN_SIDE, MAX_OWN_SIDE), Image.Resampling.LANCZOS)
    return picture


def _tell(out: BinaryIO, **told: Any) -> None:
    out.write(json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
