"""How many images should share a forward: measured per shape, because the cost is not monotonic in the batch.

On a CPU a forward of 8 images can cost more than two of 4; on a GPU batching pays until the device is full. The cap is the
number of images with the least measured time each. A larger number must be cheaper by a margin to win.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safelight_worker.memory.out_of_memory import is_out_of_memory
from safelight_worker.memory.probe import MemoryProbe

log = logging.getLogger(__name__)

#: Seconds a measurement may take when a model is loaded.
BUDGET_WARM_UP = 4.0

#: Seconds it may take when requests wait for it: a shape that nobody has asked for before.
BUDGET_IN_FLIGHT = 1.0

_SIZES = (1, 2, 4, 8, 16)

#: Images of an exact forward at most. A lone exact request pays for all of them at every step, so the fastest number is too many:
#: on two cores an image of the embedded model takes 5.4 ms of a forward of 4 and 7.1 of one of 16, against 13.1 alone.
EXACT_AT_MOST = 4

#: Repeats of each size after one warm-up; the fastest counts, because whatever else the machine does only adds.
_REPEATS = 5

#: A larger batch must be at least this much cheaper per image than the best so far, or it only adds latency and memory.
_MARGIN = 0.97

#: Share of the free memory that a trial may be expected to take.
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class Measurement:
    """The cap found; milliseconds per image of every number tried; whether time or memory ended it early."""

    cap: int
    cost: dict[int, float] = field(default_factory=dict)
    cut_short: bool = False


class RowCaps:
    """Measured caps, kept in a file per kind of device and software, so that the next start does not measure again.

    The number of images of exact forwards is the first cap a shape got, and stays when the cap is measured anew: it is part of
    the bits that were promised. Workers on one machine share the file: who comes first fixes it for all.
    """

    def __init__(
        self,
        identity: str,
        cache_dir: Path | None,
        memory: MemoryProbe,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._file = None if cache_dir is None else cache_dir / f"row-caps-{identity}.json"
        self._memory = memory
        self._clock = clock
        self._lasting, self._exact = self._read()
        self._caps = dict(self._lasting)

    def known(self, shape: str) -> int | None:
        """The cap of a shape, or None when it has not been measured."""
        return self._caps.get(shape)

    def measure(self, shape: str, forward: Callable[[int], None], budget: float) -> int:
        """Measures and keeps the cap of a shape. ``forward(n)`` advances n images by one forward and waits for it. What
        was cut short holds for this process and is not written: the next one may have more time or memory."""
        found = measure_cap(forward, budget, self._clock, self._memory.room)
        self._caps[shape] = found.cap
        if not found.cut_short:
            self._lasting[shape] = found.cap
            self._write()
        log.info("row cap measured", extra={"shape": shape, "images": found.cap, "ms_per_image": found.cost})
        return found.cap

    def exact(self, shape: str) -> int | None:
        """Images of an exact forward, or None when none was run."""
        return self._exact.get(shape)

    def fix_exact(self, shape: str) -> int:
        """Images of an exact forward: the cap of the moment, within :data:`EXACT_AT_MOST`, kept from here on."""
        if shape not in self._exact:
            _, elsewhere = self._read()
            self._exact[shape] = elsewhere.get(shape) or min(self._caps.get(shape, 1), EXACT_AT_MOST)
            self._write()
        return self._exact[shape]

    def exact_images(self) -> dict[str, int]:
        """Images of exact forwards, by ``<width>x<height>``."""
        return dict(self._exact)

    def as_dict(self) -> dict[str, int]:
        """By ``<width>x<height>``."""
        return dict(self._caps)

    def _read(self) -> tuple[dict[str, int], dict[str, int]]:
        if self._file is None or not self._file.is_file():
            return {}, {}
        try:
            told = json.loads(self._file.read_text())
            return _counts(told["caps"]), _counts(told["exact"])
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            log.warning("row caps are damaged and measured again", extra={"file": str(self._file), "why": str(error)})
            return {}, {}

    def _write(self) -> None:
        if self._file is None:
            return
        caps, exact = self._read()
        kept = {"caps": {**caps, **self._lasting}, "exact": {**self._exact, **exact}}
        temporary = self._file.with_suffix(f".{os.getpid()}.part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(kept))
            temporary.replace(self._file)
        except OSError as error:
            log.warning("row caps cannot be kept", extra={"file": str(self._file), "why": str(error)})


def _counts(told: dict[str, int]) -> dict[str, int]:
    counts = {str(shape): int(count) for shape, count in told.items()}
    if any(count < 1 for count in counts.values()):
        raise ValueError("a count is below 1")
    return counts


def measure_cap(
    forward: Callable[[int], None],
    budget: float,
    clock: Callable[[], float] = time.perf_counter,
    room: Callable[[], tuple[int, int]] | None = None,
) -> Measurement:
    """Finds the number of images with the least time each, within ``budget`` seconds after the first forward.

    ``room`` tells the highest use of memory so far and what is free, in bytes. A number whose forward would, by the one
    before, outlast the budget or take more than half of the free memory is not tried.
    """
    began = clock()
    best, cost = 1, dict[int, float]()
    last_seconds = last_bytes = 0.0
    base = room()[0] if room else 0
    for images in _SIZES:
        left = budget - (clock() - began)
        free = room()[1] if room else 0
        if cost and (2 * 2 * last_seconds > left or (room and 2 * last_bytes > free * _MEMORY_SHARE)):
            return Measurement(best, cost, cut_short=True)
        try:
            times = _times(forward, images, began + budget, clock)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return Measurement(best, cost, cut_short=True)
        last_seconds = min(times)
        last_bytes = room()[0] - base if room else 0
        cost[images] = round(last_seconds / images * 1000, 3)
        if cost[images] < cost[best] * _MARGIN:
            best = images
        # Two doublings without a gain: the device is full.
        if images >= best * 4:
            break
    return Measurement(best, cost)


def _times(forward: Callable[[int], None], images: int, deadline: float, clock: Callable[[], float]) -> list[float]:
    """Seconds of each repeat after a warm-up; of the warm-up where there is no time for more."""
    times: list[float] = []
    for _ in range(1 + _REPEATS):
        start = clock()
        forward(images)
        times.append(clock() - start)
        if clock() + times[-1] > deadline:
            break
    return times[1:] or times
