"""How much memory a device has, and how much of it was used while something ran."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import torch

from safelight_worker.memory.adapters import port_for
from safelight_worker.memory.port import MemoryPort, MemoryState


@dataclass(eq=False)
class PeakWatch:
    """Follows the highest use from :meth:`MemoryProbe.watch` to :meth:`MemoryProbe.unwatch`."""

    highest: int = 0


class MemoryProbe:
    """Reads a device's memory. Cheap, callable from any thread.

    Figures are the device's, not an attempt's: attempts that overlap share them. Where the system cannot reset its peak
    (macOS, a read-only ``/proc``), a peak is that of the whole process since its start. ``limit_bytes`` above 0 is all
    this process may take.

    Raises:
        ValueError: a device whose memory cannot be read.
    """

    def __init__(self, device: torch.device, limit_bytes: int = 0) -> None:
        self._port = port_for(device, limit_bytes)
        self._lock = threading.Lock()
        self._watches: list[PeakWatch] = []
        self._highest = 0

    @property
    def port(self) -> MemoryPort:
        """The device behind it. Who resets its peak takes it from the watches that run."""
        return self._port

    def state(self) -> MemoryState:
        """As it is now; its peak is the highest use since this probe was made."""
        state = self._port.state()
        return replace(state, peak=max(self._highest, state.peak))

    def room(self) -> tuple[int, int]:
        """Highest use since the last watch began or ended, and what can still be had."""
        state = self._port.state()
        return state.peak, state.available

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
        peak = self._port.peak()
        self._highest = max(self._highest, peak)
        for watch in self._watches:
            watch.highest = max(watch.highest, peak)
        self._port.reset_peak()
