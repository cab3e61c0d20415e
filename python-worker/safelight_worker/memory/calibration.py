"""What a phase really takes: measured at a few sizes, fitted, and kept for the next start."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from safelight_worker.memory.footprint import PhaseFootprint
from safelight_worker.memory.out_of_memory import is_out_of_memory
from safelight_worker.memory.port import MemoryPort
from safelight_worker.types import Phase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One run: rows of its forwards, pixels, and the highest use in bytes over what was held before."""

    rows: int
    width: int
    height: int
    peak_bytes: int

    @property
    def pixels(self) -> int:
        """Of all rows."""
        return self.rows * self.width * self.height


def measure_phase(
    port: MemoryPort,
    run: Callable[[int, int, int], None],
    sizes: Sequence[tuple[int, int, int]],
    budget_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Sample]:
    """Runs a phase at each (rows, width, height), smallest first, and takes its highest use of memory.

    ``run`` must leave nothing on the device. The first size runs once before, uncounted: libraries take their workspaces
    at the first call. A size that would, by the one before, outlast the budget is not run, nor one after the device had
    no room; so there may be fewer samples than sizes. A run that does not raise the peak gives none: it stayed below one
    that the system could not reset, or the device keeps none (MPS).
    """
    began = clock()
    samples: list[Sample] = []
    ordered = sorted(sizes, key=lambda size: math.prod(size))
    last_seconds, last_pixels = 0.0, 0
    for turn, (rows, width, height) in enumerate([*ordered[:1], *ordered]):
        expected = last_seconds * rows * width * height / last_pixels if last_pixels else 0.0
        if expected > budget_seconds - (clock() - began):
            break
        start = clock()
        try:
            used = _peak_of(port, partial(run, rows, width, height))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.info("no room for a measurement", extra={"rows": rows, "width": width, "height": height})
            break
        last_seconds, last_pixels = clock() - start, rows * width * height
        if turn > 0 and used is not None:
            samples.append(Sample(rows, width, height, used))
    return samples


def _peak_of(port: MemoryPort, run: Callable[[], None]) -> int | None:
    """Bytes over what was held before; None when the peak did not rise: hidden by an earlier one, or kept by nobody."""
    port.synchronize()
    # On the CPU blocks that were freed and kept would be reused unseen.
    port.empty_cache()
    port.reset_peak()
    before, floor = port.state().allocated, port.peak()
    try:
        run()
    finally:
        port.synchronize()
    peak = port.peak()
    return peak - before if peak > floor else None


def fit(phase: Phase, samples: Sequence[Sample]) -> PhaseFootprint:
    """Least squares of ``fixed + per_pixel · rows · width · height``, both at least 0.

    Samples of one size leave the two undetermined: all is then put to the pixels.

    Raises:
        ValueError: no samples, or one without pixels.
    """
    if not samples or any(sample.pixels <= 0 for sample in samples):
        raise ValueError(f"samples of {phase.value}: {len(samples)} given; at least 1 is needed, each with pixels")
    xs = [float(sample.pixels) for sample in samples]
    ys = [float(sample.peak_bytes) for sample in samples]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    through_zero = (0.0, max(0.0, sum(x * y for x, y in zip(xs, ys, strict=True)) / sum(x * x for x in xs)))
    candidates = [through_zero]
    spread = sum((x - mean_x) ** 2 for x in xs)
    if spread > 0:
        slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
        free = (mean_y - slope * mean_x, slope)
        # The minimum lies inside the allowed quadrant, or else on one of its edges.
        candidates = [free] if min(free) >= 0 else [through_zero, (max(0.0, mean_y), 0.0)]

    def residual(line: tuple[float, float]) -> float:
        return sum((line[0] + line[1] * x - y) ** 2 for x, y in zip(xs, ys, strict=True))

    fixed, per_pixel = min(candidates, key=residual)
    return PhaseFootprint(phase, math.ceil(fixed), per_pixel, measured=True)


class CalibrationFile:
    """Measured footprints, a file per identity: weights, dtype and device, in the caller's words.

    What cannot be kept or read is logged and measured again; nothing depends on the file. No directory: kept in memory.
    """

    def __init__(self, identity: str, cache_dir: Path | None) -> None:
        self._file = None if cache_dir is None else cache_dir / f"footprints-{quote(identity, safe='')}.json"
        self._footprints = self._read()

    def known(self, phase: Phase) -> PhaseFootprint | None:
        """The footprint of a phase, or None when it has not been measured."""
        return self._footprints.get(phase)

    def keep(self, footprint: PhaseFootprint) -> None:
        """Keeps a measured footprint in place of an earlier one.

        Raises:
            ValueError: it is an estimate.
        """
        if not footprint.measured:
            raise ValueError(f"footprint of {footprint.phase.value} is an estimate; only measured ones are kept")
        self._footprints[footprint.phase] = footprint
        self._write()

    def all(self) -> tuple[PhaseFootprint, ...]:
        """Of every phase that was measured."""
        return tuple(self._footprints.values())

    def _read(self) -> dict[Phase, PhaseFootprint]:
        if self._file is None or not self._file.is_file():
            return {}
        try:
            entries = json.loads(self._file.read_text())
            return {Phase(phase): _footprint(Phase(phase), entry) for phase, entry in entries.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            log.warning("footprints are damaged and measured again", extra={"file": str(self._file), "why": str(error)})
            return {}

    def _write(self) -> None:
        if self._file is None:
            return
        entries = {
            footprint.phase.value: {"fixed_bytes": footprint.fixed_bytes, "bytes_per_pixel": footprint.bytes_per_pixel}
            for footprint in self._footprints.values()
        }
        # Two workers may write the same file: each its own part, and the last one stands.
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(entries))
            temporary.replace(self._file)
        except OSError as error:
            log.warning("footprints cannot be kept", extra={"file": str(self._file), "why": str(error)})


def _footprint(phase: Phase, entry: dict[str, float]) -> PhaseFootprint:
    return PhaseFootprint(phase, int(entry["fixed_bytes"]), float(entry["bytes_per_pixel"]), measured=True)
