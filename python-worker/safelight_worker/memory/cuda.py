"""Memory of an NVIDIA or AMD device, by PyTorch's caching allocator."""

from __future__ import annotations

import torch

from safelight_worker.memory.port import MemoryState


class CudaMemory:
    """A :class:`~safelight_worker.memory.port.MemoryPort`. Free is the driver's figure, so other processes count."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def limit(self, limit_bytes: int) -> None:
        """The allocator refuses, as if the device were full, what would take this process beyond the limit."""
        _, total = torch.cuda.mem_get_info(self._device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total), self._device)

    def state(self) -> MemoryState:
        free, total = torch.cuda.mem_get_info(self._device)
        allocated = torch.cuda.memory_allocated(self._device)
        reserved = torch.cuda.memory_reserved(self._device)
        return MemoryState(total, free, allocated, reserved, self.peak())

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device)

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def empty_cache(self) -> None:
        # The call speaks of the current device only.
        with torch.cuda.device(self._device):
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        torch.cuda.synchronize(self._device)
