"""Text conditions of prompts that came before: they skip the text encoders, and with them the phase that loads those."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch

from safelight_worker.pipelines.state import Conditions
from safelight_worker.pipelines.suspension import moved

#: Bytes kept on the host. A prompt is 0.3 MB for SD 1.5 with guidance, 4 MB for Flux.
CAPACITY_BYTES = 256 << 20


class PromptCache:
    """Least recently used first out. Kept on the host; on the CPU that is where they are used, and nothing is copied. Nobody
    writes into conditions, so images and the cache may share them. Belongs to the engine thread."""

    def __init__(self, device: torch.device, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._device = device
        self._capacity = capacity_bytes
        self._kept: OrderedDict[Hashable, Conditions] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: Hashable, make: Callable[[], Conditions]) -> Conditions:
        """The conditions of a key, made when they are not kept."""
        kept = self._kept.get(key)
        if kept is not None:
            self.hits += 1
            self._kept.move_to_end(key)
            return _on(kept, self._device)
        self.misses += 1
        made = make()
        size = _bytes(made)
        if size <= self._capacity:
            self._kept[key] = _on(made, torch.device("cpu"))
            self._bytes += size
            while self._bytes > self._capacity:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _bytes(oldest)
        return made

    def clear(self) -> None:
        """Forgets all."""
        self._kept.clear()
        self._bytes = 0


def _on(conditions: Conditions, device: torch.device) -> Conditions:
    tensors = [*conditions.shared.values(), *(t for rows in conditions.branches.values() for t in rows.values())]
    if all(tensor.device == device for tensor in tensors):
        return conditions
    branches = {name: moved(dict(rows), device) for name, rows in conditions.branches.items()}
    return Conditions(branches, moved(dict(conditions.shared), device))


def _bytes(conditions: Conditions) -> int:
    groups: list[Mapping[str, Any]] = [conditions.shared, *conditions.branches.values()]
    return sum(tensor.numel() * tensor.element_size() for rows in groups for tensor in rows.values())
