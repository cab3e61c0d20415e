"""Memory of the machine, and of this process in it."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

from safelight_worker.memory.port import MemoryState

_PAGE = os.sysconf("SC_PAGE_SIZE")

#: Written to ``clear_refs`` it sets ``VmHWM``, the highest resident set, to the current one (proc(5), since Linux 4.0).
_RESET_PEAK = "5"


class CpuMemory:
    """A :class:`~safelight_worker.memory.port.MemoryPort`. Where the system keeps no peak that can be reset (macOS, a
    read-only ``/proc``) it is that of the process since its start."""

    def __init__(self, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._cgroup = cgroup

    def state(self) -> MemoryState:
        total = self._total()
        resident = self._resident()
        return MemoryState(total, self._available(total), resident, resident, self.peak())

    def peak(self) -> int:
        peak = self._kibibytes("self/status", "VmHWM:")
        # The kernel sums its counters of pages now and then only, so the peak may lag behind the present.
        return _lifetime_peak() if peak is None else max(peak, self._resident())

    def reset_peak(self) -> None:
        try:
            (self._proc / "self/clear_refs").write_text(_RESET_PEAK)
        except OSError:
            # Part of the contract: where the system refuses, the peak is that of the whole process.
            return

    def empty_cache(self) -> None:
        # glibc keeps what was freed; elsewhere there is nothing of the kind to call.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

    def synchronize(self) -> None:
        """Nothing is queued: an operation on the CPU has ended when its call returns."""

    def _total(self) -> int:
        physical = _PAGE * os.sysconf("SC_PHYS_PAGES")
        limit = _read_int(self._cgroup / "memory.max")
        return min(physical, limit) if limit else physical

    def _available(self, total: int) -> int:
        available = self._kibibytes("meminfo", "MemAvailable:")
        if available is None:
            return total
        used = _read_int(self._cgroup / "memory.current")
        return min(available, total) if used is None else min(available, max(0, total - used + self._reclaimable()))

    def _reclaimable(self) -> int:
        """Page cache that the kernel drops first. A model just read lies in it, and it is not in anybody's way."""
        for line in _lines(self._cgroup / "memory.stat"):
            if line.startswith("inactive_file "):
                return int(line.split()[1])
        return 0

    def _resident(self) -> int:
        try:
            return int((self._proc / "self/statm").read_text().split()[1]) * _PAGE
        except OSError:
            return _lifetime_peak()

    def _kibibytes(self, file: str, name: str) -> int | None:
        """Bytes of a line ``name  123 kB``; None when the system has no such line."""
        for line in _lines(self._proc / file):
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        return None


def _lifetime_peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _read_int(file: Path) -> int | None:
    """None when there is no such file or it says ``max``."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
