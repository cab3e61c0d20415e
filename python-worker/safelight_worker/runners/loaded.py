"""From a model's files to what runs it."""

from __future__ import annotations

import hashlib
import logging
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.pipelines import loading
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.previews import preview_factors
from safelight_worker.pipelines.registry import adapter_for
from safelight_worker.pipelines.scheduler_options import accepted_options
from safelight_worker.runners.exclusive import ExclusiveRunner
from safelight_worker.runners.row_caps import RowCaps
from safelight_worker.runners.runner import Runner
from safelight_worker.runners.stepped import SteppedRunner
from safelight_worker.types import ModelSpec

__all__ = ["LoadedRunner", "accepted_options", "load_runner"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedRunner:
    """A model with what runs it."""

    model: LoadedModel
    runner: Runner
    load_seconds: float


def load_runner(spec: ModelSpec, device: torch.device, cache_dir: Path | None) -> LoadedRunner:
    """Loads a model, brings it to the device and warms it up.

    Raises:
        WorkerError: ``model_unavailable`` when its files cannot be loaded.
    """
    began = time.monotonic()
    log.info("loading a model", extra={"model": spec.id, "source": str(spec.source)})
    model = loading.load(spec, device)
    adapter = adapter_for(model)
    runner: Runner
    if adapter is None:
        runner = ExclusiveRunner(model)
    else:
        with torch.inference_mode():
            factors = preview_factors(spec.source, model.pipe.vae, model.pipe.vae.config.scaling_factor)
        stepped = SteppedRunner(model, adapter, factors, RowCaps(_identity(model), cache_dir, MemoryProbe(device)))
        stepped.warm_up()
        runner = stepped
    seconds = time.monotonic() - began
    log.info("model loaded", extra={"model": spec.id, "runner": runner.kind, "seconds": round(seconds, 2)})
    return LoadedRunner(model, runner, seconds)


def _identity(model: LoadedModel) -> str:
    """What a measured cap depends on."""
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.machine()
    facts = (model.weights_sha256, model.dtype_name, device, torch.get_num_threads(), torch.__version__)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
