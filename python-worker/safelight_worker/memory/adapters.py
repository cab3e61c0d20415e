"""Which adapter reads a device's memory, and how much of it this process may take."""

from __future__ import annotations

import torch

from safelight_worker.memory.cpu import CpuMemory
from safelight_worker.memory.cuda import CudaMemory
from safelight_worker.memory.mps import MpsMemory
from safelight_worker.memory.port import MemoryPort, MemoryState


def port_for(device: torch.device, limit_bytes: int = 0) -> MemoryPort:
    """The memory of a device. ``limit_bytes`` above 0 is all this process may take of it: a budget that is told, and on
    CUDA one that the allocator keeps.

    Raises:
        ValueError: no adapter for this kind of device, or a negative limit.
    """
    if limit_bytes < 0:
        raise ValueError(f"limit_bytes: {limit_bytes} is negative")
    port: MemoryPort
    if device.type == "cuda":
        cuda = CudaMemory(device)
        if limit_bytes:
            cuda.limit(limit_bytes)
        port = cuda
    elif device.type == "mps":
        port = MpsMemory()
    elif device.type == "cpu":
        port = CpuMemory()
    else:
        raise ValueError(f"device: memory of {device.type} cannot be read (cpu, cuda, mps can)")
    return LimitedMemory(port, limit_bytes) if limit_bytes else port


class LimitedMemory:
    """A :class:`~safelight_worker.memory.port.MemoryPort` that tells of no more than a limit in bytes."""

    def __init__(self, port: MemoryPort, limit_bytes: int) -> None:
        self._port = port
        self._limit = limit_bytes

    def state(self) -> MemoryState:
        return self._port.state().limited_to(self._limit)

    def peak(self) -> int:
        return self._port.peak()

    def reset_peak(self) -> None:
        self._port.reset_peak()

    def empty_cache(self) -> None:
        self._port.empty_cache()

    def synchronize(self) -> None:
        self._port.synchronize()
