"""From a folder in the diffusers layout to a pristine pipeline on a device."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DiffusionPipeline

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
    if not (spec.source / "model_index.json").is_file():
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{spec.source} holds no model_index.json")
    dtype = _DTYPES[spec.dtype] if spec.dtype else _default_dtype(device)
    try:
        pipe = _from_folder(spec, dtype)
    except (OSError, ValueError, KeyError, AttributeError, ImportError, json.JSONDecodeError) as error:
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{spec.source} cannot be loaded: {error}") from error
    pipe.to(device)
    modules = [component for component in pipe.components.values() if isinstance(component, torch.nn.Module)]
    for module in modules:
        module.eval().requires_grad_(False)
    size = sum(tensor.numel() * tensor.element_size() for module in modules for tensor in module.state_dict().values())
    return LoadedModel(spec, pipe, device, dtype, hash_weights(spec.source), size)


def _from_folder(spec: ModelSpec, dtype: torch.dtype) -> DiffusionPipeline:
    arguments = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    if spec.variant:
        try:
            return DiffusionPipeline.from_pretrained(spec.source, variant=spec.variant, **arguments)
        except (ValueError, OSError) as error:
            log.warning("variant is missing; plain weights are taken", extra={"variant": spec.variant, "why": str(error)})
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
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
