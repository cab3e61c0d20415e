"""How many images should share a forward: measured per shape, because the cost is not monotonic in the batch.

On a CPU a forward of 8 images can cost more than two of 4; on a GPU batching pays until the device is full. The cap is the
number of images with the least measured time each. A larger number must be cheaper by a margin to win.
"""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

log = logging.getLogger(__name__)

_SIZES = (1, 2, 4, 8, 16)

#: Repeats of each size after one warm-up; the median counts.
_REPEATS = 5

#: Seconds all measurements of one shape may take.
_BUDGET_SECONDS = 4.0

#: A larger batch must be at least this much cheaper per image than the best so far, or it only adds latency and memory.
_MARGIN = 0.97


class RowCaps:
    """Measured caps, kept in a file per kind of device and software, so that the next start does not measure again."""

    def __init__(self, identity: str, cache_dir: Path | None) -> None:
        self._file = None if cache_dir is None else cache_dir / f"row-caps-{identity}.json"
        self._caps: dict[str, int] = self._read()

    def known(self, shape: str) -> int | None:
        """The cap of a shape, or None when it has not been measured."""
        return self._caps.get(shape)

    def measure(self, shape: str, forward: Callable[[int], None]) -> int:
        """Measures and keeps the cap of a shape. ``forward(n)`` advances n images by one forward and waits for it."""
        cap, cost = measure_cap(forward)
        self._caps[shape] = cap
        self._write()
        log.info("row cap measured", extra={"shape": shape, "images": cap, "ms_per_image": cost})
        return cap

    def as_dict(self) -> dict[str, int]:
        return dict(self._caps)

    def _read(self) -> dict[str, int]:
        if self._file is None or not self._file.is_file():
            return {}
        try:
            return {str(shape): int(cap) for shape, cap in json.loads(self._file.read_text()).items()}
        except (ValueError, AttributeError) as error:
            log.warning("row caps cannot be read and are measured again", extra={"file": str(self._file), "why": str(error)})
            return {}

    def _write(self) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".part")
        temporary.write_text(json.dumps(self._caps))
        temporary.rename(self._file)


def measure_cap(forward: Callable[[int], None], clock: Callable[[], float] = time.perf_counter) -> tuple[int, dict[int, float]]:
    """The number of images with the least time each, and the milliseconds per image of every number tried."""
    began = clock()
    best, cost = 1, {}
    for images in _SIZES:
        try:
            forward(images)
            times = []
            for _ in range(_REPEATS):
                start = clock()
                forward(images)
                times.append(clock() - start)
        except (torch.OutOfMemoryError, MemoryError):
            break
        cost[images] = round(statistics.median(times) / images * 1000, 3)
        if cost[images] < cost[best] * _MARGIN:
            best = images
        # Two doublings without a gain: the device is full.
        if images >= best * 4 or clock() - began > _BUDGET_SECONDS:
            break
    return best, cost
