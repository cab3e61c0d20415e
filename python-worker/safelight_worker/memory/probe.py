"""How much memory a device has, and how much of it was used."""

from __future__ import annotations

import os
import resource
import sys
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


class MemoryProbe:
    """Reads a device's memory. Cheap, callable from any thread."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"

    def state(self) -> MemoryState:
        """As it is now."""
        if self._cuda:
            free, total = torch.cuda.mem_get_info(self._device)
            allocated = torch.cuda.memory_allocated(self._device)
            reserved = torch.cuda.memory_reserved(self._device)
            return MemoryState(total, free, allocated, reserved, torch.cuda.max_memory_allocated(self._device))
        total = _machine_bytes()
        resident = _resident_bytes()
        return MemoryState(total, _available_bytes(total), resident, resident, self.peak_bytes())

    def peak_bytes(self) -> int:
        """Highest use since :meth:`reset_peak`; for the CPU since the process began."""
        if self._cuda:
            return torch.cuda.max_memory_allocated(self._device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def reset_peak(self) -> None:
        """Begins a new peak where the device keeps one."""
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(self._device)


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
