"""How much memory a device has, and how much of it was used."""

from __future__ import annotations

import os
import resource
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import torch

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class MemoryState:
    """Bytes. For the CPU, allocated and reserved are the resident set of this process."""

    total: int
    free: int
    allocated: int
    reserved: int
    peak: int


@dataclass(eq=False)
class PeakWatch:
    """Follows the highest use from :meth:`MemoryProbe.watch` to :meth:`MemoryProbe.unwatch`."""

    highest: int = 0


class MemoryProbe:
    """Reads a device's memory. Cheap, callable from any thread.

    Figures are the device's, not an attempt's: attempts that overlap share them. On the CPU a peak is even that of the whole
    process since its start, as the system keeps no other.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        self._lock = threading.Lock()
        self._watches: list[PeakWatch] = []
        self._highest = 0

    def state(self) -> MemoryState:
        """As it is now."""
        if self._cuda:
            free, total = torch.cuda.mem_get_info(self._device)
            allocated = torch.cuda.memory_allocated(self._device)
            reserved = torch.cuda.memory_reserved(self._device)
            peak = max(self._highest, self._peak())
            return MemoryState(total, free, allocated, reserved, peak)
        total = _machine_bytes()
        resident = _resident_bytes()
        return MemoryState(total, _available_bytes(total), resident, resident, self._peak())

    def room(self) -> tuple[int, int]:
        """Highest use since the last watch began or ended, and what is free."""
        return self._peak(), self.state().free

    def watch(self) -> PeakWatch:
        """Begins to follow the highest use."""
        with self._lock:
            self._fold()
            watch = PeakWatch()
            self._watches.append(watch)
            return watch

    def unwatch(self, watch: PeakWatch) -> int:
        """Highest use in bytes since the watch began."""
        with self._lock:
            self._fold()
            self._watches.remove(watch)
            return watch.highest

    def _fold(self) -> None:
        # The device keeps one peak for all: everybody takes it over before it begins anew.
        peak = self._peak()
        self._highest = max(self._highest, peak)
        for watch in self._watches:
            watch.highest = max(watch.highest, peak)
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(self._device)

    def _peak(self) -> int:
        if self._cuda:
            return torch.cuda.max_memory_allocated(self._device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _machine_bytes() -> int:
    physical = _PAGE * os.sysconf("SC_PHYS_PAGES")
    limit = _read_int(Path("/sys/fs/cgroup/memory.max"))
    return min(physical, limit) if limit else physical


def _available_bytes(total: int) -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return total
    available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), total)
    used = _read_int(Path("/sys/fs/cgroup/memory.current"))
    return min(available, max(0, total - used)) if used else available


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _read_int(path: Path) -> int | None:
    """None when there is no such file or it says ``max``."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
