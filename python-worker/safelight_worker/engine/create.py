"""Puts an engine together from the settings of its process."""

from __future__ import annotations

from pathlib import Path

import torch

from safelight_worker.engine.engine import Engine
from safelight_worker.engine.models import ModelStore
from safelight_worker.memory.fault_injection import FaultInjector
from safelight_worker.memory.probe import MemoryProbe

#: Share of the memory that the weights of all models together may take; what is left is for activations. Who wants to know
#: exactly reads the footprints a model tells when it is loaded.
_WEIGHTS_SHARE = 0.85


def create_engine(
    device: torch.device,
    data_dir: Path | None,
    threads: int = 0,
    *,
    budget_bytes: int = 0,
    faults: str = "",
) -> Engine:
    """An engine that was not started yet. ``budget_bytes`` is the most this process takes of its device; 0: all there is.

    Raises:
        ValueError: ``faults`` does not follow the grammar of :class:`FaultInjector`.
    """
    if device.type == "cpu":
        # Tensors call themselves "cpu"; with a number they would be taken for lying elsewhere, and copied.
        device = torch.device("cpu")
    memory = MemoryProbe(device, budget_bytes)
    budget = int(memory.state().total * _WEIGHTS_SHARE)
    injector = FaultInjector.parse(faults)
    models = ModelStore(device, data_dir, memory, budget, faults=injector)
    return Engine(device, models, threads, memory=memory, faults=injector)
