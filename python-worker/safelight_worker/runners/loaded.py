"""From a model's files to what runs it."""

from __future__ import annotations

import hashlib
import logging
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from safelight_worker.memory.calibration import CalibrationFile
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.memory.weights import component_bytes, file_bytes
from safelight_worker.pipelines import loading, sources
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.loras import Loras
from safelight_worker.pipelines.quantization import DENOISERS
from safelight_worker.pipelines.registry import adapter_for
from safelight_worker.pipelines.scheduler_options import accepted_options
from safelight_worker.pipelines.sources import SourceKind
from safelight_worker.runners.exclusive import ExclusiveRunner
from safelight_worker.runners.model_placement import ModelPlacement, bytes_held
from safelight_worker.runners.row_caps import RowCaps
from safelight_worker.runners.runner import Runner
from safelight_worker.runners.stepped import SteppedRunner
from safelight_worker.types import FailureKind, MemoryPlan, ModelSpec, Plan, WorkerError

__all__ = ["LoadedRunner", "accepted_options", "load_runner"]

log = logging.getLogger(__name__)


#: Bits an element takes once a backend is done with it, its scales included.
_BITS = {"bitsandbytes_4bit": 5, "bitsandbytes_8bit": 9, "torchao": 9, "quanto": 9, "gguf": 9}


@dataclass(frozen=True)
class LoadedRunner:
    """A model with what runs it. A model with a step adapter is also run as whole calls, for what the adapter does not do."""

    model: LoadedModel
    runner: Runner
    exclusive: Runner
    placement: ModelPlacement
    load_seconds: float

    @property
    def bytes_held(self) -> int:
        """Bytes of the device that its weights take at most, where they lie now."""
        return bytes_held(self.model.component_bytes, self.placement.residency)

    def runner_for(self, plan: Plan) -> Runner:
        """What runs a plan."""
        return self.exclusive if plan.inputs.ip_adapter is not None else self.runner

    def weights(self) -> list[torch.Tensor]:
        """As they lie now."""
        modules = (each for each in self.model.pipe.components.values() if isinstance(each, torch.nn.Module))
        return [parameter.data for module in modules for parameter in module.parameters()]

    def close(self) -> None:
        """Lets go of everything on the device."""
        self.runner.close()
        self.exclusive.close()


def weigh(spec: ModelSpec, device: torch.device, plan: MemoryPlan = MemoryPlan()) -> int:  # noqa: B008  frozen
    """Bytes of the device that a model's weights will take under a memory plan, from the headers of its files.

    Raises:
        WorkerError: ``model_unavailable`` when they are not there or damaged.
    """
    source = sources.resolve(spec)
    dtype = spec.dtype or ("float32" if device.type == "cpu" else "float16")
    width = 4 if dtype == "float32" else 2
    try:
        if source.kind is SourceKind.SINGLE_FILE:
            # One file holds the network, the text encoders and the VAE; which is which shows only when it is read.
            return file_bytes(source.path, width)
        parts = component_bytes(source.config, width, spec.variant)
    except ValueError as error:
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, str(error)) from error
    if spec.quantization is not None:
        bits = _BITS.get(spec.quantization.backend, 16)
        for name in spec.quantization.components or [name for name in parts if name in DENOISERS]:
            parts[name] = parts.get(name, 0) * bits // (8 * width)
    return bytes_held(parts, plan.residency)


def load_runner(
    spec: ModelSpec,
    device: torch.device,
    cache_dir: Path | None,
    memory: MemoryProbe,
    plan: MemoryPlan = MemoryPlan(),  # noqa: B008  frozen
) -> LoadedRunner:
    """Loads a model and warms it up. Its weights go to the device as ``plan`` says, from the start: a model that does not fit
    as a whole never has to.

    Raises:
        WorkerError: ``model_unavailable`` when its files cannot be loaded.
    """
    began = time.monotonic()
    log.info("loading a model", extra={"model": spec.id, "source": spec.source})
    model = loading.load(spec, device, cache_dir)
    adapter = adapter_for(model)
    modules = {name: each for name, each in model.pipe.components.items() if isinstance(each, torch.nn.Module)}
    placement = ModelPlacement(modules, model.device, {} if adapter is None else adapter.phases())
    placement.follow([plan])
    loras = Loras(model.pipe)
    runner: Runner = ExclusiveRunner(model, loras, placement)
    exclusive = runner
    if adapter is not None:
        stepped = SteppedRunner(model, adapter, RowCaps(_identity(model), cache_dir, memory), placement, loras)
        stepped.warm_up(memory, CalibrationFile(_identity(model), cache_dir))
        runner = stepped
    seconds = time.monotonic() - began
    log.info("model loaded", extra={"model": spec.id, "runner": runner.kind, "seconds": round(seconds, 2)})
    return LoadedRunner(model, runner, exclusive, placement, seconds)


def _identity(model: LoadedModel) -> str:
    """What is measured depends on it."""
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.machine()
    spec = model.spec
    form = (spec.quantization, spec.compile, spec.channels_last, spec.fuse_projections)
    facts = (model.weights_sha256, model.dtype_name, form, device, torch.get_num_threads(), torch.__version__)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
