"""Memory of an Apple device, which it shares with the system."""

from __future__ import annotations

import torch

from safelight_worker.memory.port import MemoryState


class MpsMemory:
    """A :class:`~safelight_worker.memory.port.MemoryPort`. The total is what Metal recommends as the working set.

    Metal keeps no peak. Ours is the highest use seen at a call, so what rises and falls between two calls is missed.
    """

    def __init__(self) -> None:
        self._highest = 0

    def state(self) -> MemoryState:
        total = torch.mps.recommended_max_memory()
        reserved = torch.mps.driver_allocated_memory()
        return MemoryState(total, max(0, total - reserved), self._allocated(), reserved, self.peak())

    def peak(self) -> int:
        self._highest = max(self._highest, self._allocated())
        return self._highest

    def reset_peak(self) -> None:
        self._highest = self._allocated()

    def empty_cache(self) -> None:
        torch.mps.empty_cache()

    def synchronize(self) -> None:
        torch.mps.synchronize()

    def _allocated(self) -> int:
        return torch.mps.current_allocated_memory()
