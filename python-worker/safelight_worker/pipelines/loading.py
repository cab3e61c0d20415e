"""From a model's files to a pristine pipeline on a device."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline

from safelight_worker.memory.out_of_memory import is_out_of_memory
from safelight_worker.pipelines import quantization, sources
from safelight_worker.pipelines.dressing import dress
from safelight_worker.pipelines.model_files import ModelFiles, read_model_files
from safelight_worker.pipelines.single_file import load_single_file
from safelight_worker.pipelines.sources import ResolvedSource, SourceKind
from safelight_worker.pipelines.weight_hashes import WeightHashes, hash_weights
from safelight_worker.types import FailureKind, ModelSpec, WorkerError

__all__ = ["LoadedModel", "hash_weights", "load"]

log = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class LoadedModel:
    """A pipeline nobody calls, and what is known of it."""

    spec: ModelSpec
    pipe: DiffusionPipeline
    device: torch.device
    dtype: torch.dtype
    weights_sha256: str
    weights_bytes: int
    component_bytes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the parameters and buffers of each network, as they lie in memory."""
    folder: Path = Path()
    """The folder that describes it: its ``model_index.json`` and configs."""

    @property
    def dtype_name(self) -> str:
        """``float32`` rather than ``torch.float32``."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def pipeline_class(self) -> str:
        """diffusers' name of the class."""
        return type(self.pipe).__name__


def load(spec: ModelSpec, device: torch.device, cache_dir: Path | None = None) -> LoadedModel:
    """Loads safetensors from this machine; runs no code that came with the weights and reaches out to nothing.

    Args:
        cache_dir: where hashes of weight files are kept; None: they are computed at every load.

    Raises:
        WorkerError: ``model_unavailable`` when files are missing, damaged, or of a form that is refused; ``invalid_request``
            when the specification cannot be followed.
    """
    dtype = _dtype_of(spec, device)
    if spec.quantization is not None:
        quantization.check_backend(spec.quantization)
    source = sources.resolve(spec)
    try:
        pipe, weights = _read(spec, source, dtype)
        _refuse_holes(pipe)
    except WorkerError:
        raise
    except Exception as error:
        # Damaged files surface as whatever their reader raises: OSError, KeyError, SafetensorError, RuntimeError, …
        if is_out_of_memory(error):
            raise
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{source.path} cannot be loaded: {error}") from error
    modules = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    for module in modules.values():
        module.eval().requires_grad_(False)
    dress(pipe, spec)
    sizes = {name: _bytes_of(module) for name, module in modules.items()}
    sha256 = WeightHashes(cache_dir).of((_name_in(source, path), path) for path in weights)
    return LoadedModel(spec, pipe, device, dtype, sha256, sum(sizes.values()), sizes, source.config)


def _read(spec: ModelSpec, source: ResolvedSource, dtype: torch.dtype) -> tuple[DiffusionPipeline, list[Path]]:
    """The pipeline on the host, and the files its weights came from."""
    if source.kind is SourceKind.SINGLE_FILE:
        if spec.quantization is not None:
            told = f"quantization is for folders in the diffusers layout; {source.path.name} is a single file"
            raise WorkerError(FailureKind.INVALID_REQUEST, told, "quantization")
        files = sources.check(source)
        return load_single_file(source.path, files, dtype), [*files.weights(""), source.path]
    if spec.quantization is not None and spec.quantization.backend == "gguf":
        return _with_gguf(spec, source, dtype)
    files = sources.check(source, spec.variant)
    arguments: dict[str, Any] = {}
    if spec.quantization is not None:
        arguments["quantization_config"] = quantization.config_for(spec.quantization, files, dtype)
    return _from_folder(spec, files, dtype, arguments), list(files.weights(spec.variant))


def _with_gguf(spec: ModelSpec, source: ResolvedSource, dtype: torch.dtype) -> tuple[DiffusionPipeline, list[Path]]:
    assert spec.quantization is not None
    name, path = quantization.gguf_file(spec.quantization, read_model_files(source.config))
    files = sources.check(source, spec.variant, replaced=(name,))
    cls: Any = getattr(diffusers, files.components[name].class_name)
    component = cls.from_single_file(
        str(path),
        quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=dtype),
        config=str(files.folder),
        subfolder=name,
        local_files_only=True,
        dtype=dtype,
    )
    replaced = set(files.components[name].weights)
    weights = [file for file in files.weights(spec.variant) if file not in replaced]
    return _from_folder(spec, files, dtype, {name: component}), [*weights, path]


def _from_folder(spec: ModelSpec, files: ModelFiles, dtype: torch.dtype, more: dict[str, Any]) -> DiffusionPipeline:
    arguments: dict[str, Any] = {"dtype": dtype, "local_files_only": True, "use_safetensors": True, **more}
    networks = [each for each in files.components.values() if each.weights and each.name not in more]
    without = [each.name for each in networks if spec.variant not in each.variants]
    if spec.variant and without:
        told = "variant is missing; plain weights are taken"
        log.warning(told, extra={"model": spec.id, "variant": spec.variant, "components": without})
    # diffusers takes plain files for some components by itself, and refuses when there is none of the variant at all.
    if spec.variant and len(without) < len(networks):
        arguments["variant"] = spec.variant
    return DiffusionPipeline.from_pretrained(files.folder, **arguments)


def _refuse_holes(pipe: DiffusionPipeline) -> None:
    """A tensor that no file had is left without memory by the readers; a picture of it would be noise at best."""
    for name, part in pipe.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        holes = [key for key, tensor in part.state_dict().items() if tensor.is_meta]
        if holes:
            told = f"weights of {name} are missing: {', '.join(holes[:3])}{' …' if len(holes) > 3 else ''}"
            raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{told} ({len(holes)} tensors)")


def _name_in(source: ResolvedSource, path: Path) -> str:
    return str(path.relative_to(source.config)) if path.is_relative_to(source.config) else path.name


def _bytes_of(module: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _dtype_of(spec: ModelSpec, device: torch.device) -> torch.dtype:
    if spec.dtype and spec.dtype not in _DTYPES:
        told = f"dtype is {spec.dtype!r}; expected {', '.join(_DTYPES)}"
        raise WorkerError(FailureKind.INVALID_REQUEST, told, "dtype")
    if spec.dtype:
        return _DTYPES[spec.dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float16 if device.type == "mps" else torch.float32
