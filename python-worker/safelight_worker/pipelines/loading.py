"""From a folder in the diffusers layout to a pristine pipeline on a device."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from safelight_worker.memory.out_of_memory import is_out_of_memory
from safelight_worker.types import FailureKind, ModelSpec, WorkerError

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

    @property
    def dtype_name(self) -> str:
        """``float32`` rather than ``torch.float32``."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def pipeline_class(self) -> str:
        """diffusers' name of the class."""
        return type(self.pipe).__name__


def load(spec: ModelSpec, device: torch.device) -> LoadedModel:
    """Loads safetensors from a local folder; runs no code that came with the weights and reaches out to nothing.

    Raises:
        WorkerError: ``model_unavailable`` when the folder is missing, damaged, or of a class diffusers does not know.
    """
    if spec.dtype and spec.dtype not in _DTYPES:
        raise WorkerError(
            FailureKind.INVALID_REQUEST, f"dtype is {spec.dtype!r}; expected {', '.join(_DTYPES)}", "dtype"
        )
    if not (spec.source / "model_index.json").is_file():
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{spec.source} holds no model_index.json")
    dtype = _DTYPES[spec.dtype] if spec.dtype else _default_dtype(device)
    try:
        pipe = _from_folder(spec, dtype)
    except Exception as error:
        # Damaged files surface as whatever their reader raises: OSError, KeyError, SafetensorError, RuntimeError, …
        if is_out_of_memory(error):
            raise
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{spec.source} cannot be loaded: {error}") from error
    pipe.to(device)
    modules = [component for component in pipe.components.values() if isinstance(component, torch.nn.Module)]
    for module in modules:
        module.eval().requires_grad_(False)
    size = sum(tensor.numel() * tensor.element_size() for module in modules for tensor in module.state_dict().values())
    return LoadedModel(spec, pipe, device, dtype, hash_weights(spec.source), size)


def _from_folder(spec: ModelSpec, dtype: torch.dtype) -> DiffusionPipeline:
    arguments: dict[str, Any] = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    if spec.variant:
        try:
            return DiffusionPipeline.from_pretrained(spec.source, variant=spec.variant, **arguments)
        except (ValueError, OSError) as error:
            log.warning(
                "variant is missing; plain weights are taken", extra={"variant": spec.variant, "why": str(error)}
            )
    return DiffusionPipeline.from_pretrained(spec.source, **arguments)


def _default_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float16 if device.type == "mps" else torch.float32


def hash_weights(folder: Path) -> str:
    """SHA-256 over names and contents of all weight files, hex."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        digest.update(_hash_file(path))
    return digest.hexdigest()


def _hash_file(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
