"""What the worker asks of a device's memory, whichever device it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol


@dataclass(frozen=True)
class MemoryState:
    """Bytes. ``allocated`` is held by tensors, ``reserved`` by the allocator: tensors and its cache of freed blocks.

    On the CPU both are the resident set of this process, weights, interpreter and all.
    """

    total: int
    free: int
    allocated: int
    reserved: int
    peak: int

    @property
    def available(self) -> int:
        """Bytes a new tensor can still get: what the device has free and what our own allocator keeps in its cache.

        ``free`` alone counts that cache as used. Never more than the total leaves, which matters under a limit.
        """
        return max(0, min(self.free + self.reserved - self.allocated, self.total - self.allocated))

    def limited_to(self, limit: int) -> MemoryState:
        """As if the device had no more than ``limit`` bytes for this process."""
        total = min(self.total, limit)
        return replace(self, total=total, free=max(0, min(self.free, total - self.allocated)))


class MemoryPort(Protocol):
    """One device's memory. Reading is cheap and possible from any thread; the rest belongs to the device's thread."""

    def state(self) -> MemoryState:
        """As it is now; its peak is :meth:`peak`."""
        ...

    def peak(self) -> int:
        """Highest ``allocated`` in bytes since :meth:`reset_peak`. Where the device cannot reset it, since the start."""
        ...

    def reset_peak(self) -> None:
        """Lets the peak begin anew at what is allocated now. Without effect where the device keeps one for good."""
        ...

    def empty_cache(self) -> None:
        """Gives the allocator's cache back. It frees no live tensor, and makes the next allocations slower."""
        ...

    def synchronize(self) -> None:
        """Waits until everything queued on the device is done."""
        ...
