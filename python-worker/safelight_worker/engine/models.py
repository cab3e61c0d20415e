"""The models on the device."""

from __future__ import annotations

import hashlib
import logging
import platform
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from safelight_worker.runners.row_caps import RowCaps
from safelight_worker.pipelines import loading
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.registry import adapter_for
from safelight_worker.pipelines.previews import preview_factors
from safelight_worker.pipelines.schedulers import SchedulerChoice, choose
from safelight_worker.runners.exclusive import ExclusiveRunner
from safelight_worker.runners.runner import Runner
from safelight_worker.runners.stepped import SteppedRunner
from safelight_worker.types import ModelSpec, Plan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedRunner:
    """A model with what runs it."""

    model: LoadedModel
    runner: Runner
    load_seconds: float

    def scheduler_choice(self, plan: Plan) -> SchedulerChoice | None:
        """The noise scheduler a plan gets on this model; None when the model has none."""
        pristine = getattr(self.model.pipe, "scheduler", None)
        return None if pristine is None else choose(pristine, plan.scheduler, plan.scheduler_options)


class ModelStore:
    """Loads each model once. ``get`` belongs to the engine thread; ``ids`` may be read from any."""

    def __init__(self, device: torch.device, cache_dir: Path | None) -> None:
        self._device = device
        self._cache_dir = cache_dir
        self._loaded: dict[ModelSpec, LoadedRunner] = {}
        self._lock = threading.Lock()

    @property
    def ids(self) -> list[str]:
        with self._lock:
            return [spec.id for spec in self._loaded]

    def get(self, spec: ModelSpec) -> LoadedRunner:
        """The loaded model, loading it first when it is new. Raises WorkerError(model_unavailable)."""
        found = self._loaded.get(spec)
        if found is None:
            found = self._load(spec)
            with self._lock:
                self._loaded[spec] = found
        return found

    def _load(self, spec: ModelSpec) -> LoadedRunner:
        began = time.monotonic()
        model = loading.load(spec, self._device)
        adapter = adapter_for(model)
        runner: Runner
        if adapter is None:
            runner = ExclusiveRunner(model)
        else:
            with torch.inference_mode():
                factors = preview_factors(spec.source, model.pipe.vae, model.pipe.vae.config.scaling_factor)
            runner = SteppedRunner(model, adapter, factors, RowCaps(self._identity(model), self._cache_dir))
            runner.warm_up()
        seconds = time.monotonic() - began
        log.info("model loaded", extra={"model": spec.id, "runner": runner.kind, "seconds": round(seconds, 2)})
        return LoadedRunner(model, runner, seconds)

    def _identity(self, model: LoadedModel) -> str:
        """What a measured cap depends on."""
        device = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else platform.machine()
        facts = (model.weights_sha256, model.dtype_name, device, torch.get_num_threads(), torch.__version__)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
