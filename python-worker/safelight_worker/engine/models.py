"""The models on the device."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from safelight_worker.runners.loaded import LoadedRunner, load_runner
from safelight_worker.types import ModelSpec

__all__ = ["LoadedRunner", "ModelStore"]


class ModelStore:
    """Loads each model once. ``get`` belongs to the engine thread; ``ids`` and ``holds`` may be used from any."""

    def __init__(self, device: torch.device, cache_dir: Path | None) -> None:
        self._device = device
        self._cache_dir = cache_dir
        self._loaded: dict[ModelSpec, LoadedRunner] = {}
        self._lock = threading.Lock()

    @property
    def ids(self) -> list[str]:
        """Each id once, in the order of loading."""
        with self._lock:
            return list(dict.fromkeys(spec.id for spec in self._loaded))

    def holds(self, spec: ModelSpec) -> bool:
        """Whether exactly this model - id, files, dtype, variant - is on the device."""
        with self._lock:
            return spec in self._loaded

    def get(self, spec: ModelSpec) -> LoadedRunner:
        """The loaded model, loading it first when it is new. One of the same id from another folder is forgotten: the name
        means other weights now. Attempts that run on those keep them to their end.

        Raises:
            WorkerError: ``model_unavailable``.
        """
        found = self._loaded.get(spec)
        if found is None:
            found = load_runner(spec, self._device, self._cache_dir)
            with self._lock:
                for other in [each for each in self._loaded if each.id == spec.id and each.source != spec.source]:
                    del self._loaded[other]
                self._loaded[spec] = found
        return found
