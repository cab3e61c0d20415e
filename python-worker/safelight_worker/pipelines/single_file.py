"""A whole pipeline in one safetensors file, as it was trained, described by a folder of configs and tokenizers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import safe_open

from safelight_worker.pipelines.model_files import ModelFiles
from safelight_worker.types import FailureKind, WorkerError

#: Parts of tensor names that only one group of classes has, and what names of these classes begin with. First match.
_MARKS = (
    ("conditioner.embedders.", "StableDiffusionXL"),
    ("joint_blocks.", "StableDiffusion3"),
    ("double_blocks.", "Flux"),
    ("cond_stage_model.", "StableDiffusion"),
)
_GROUPS = ("StableDiffusionXL", "StableDiffusion3", "Flux", "StableDiffusion")


def load_single_file(path: Path, files: ModelFiles, dtype: torch.dtype) -> diffusers.DiffusionPipeline:
    """Loads a checkpoint as the class its folder names. Components that are not in the file come from the folder.

    Raises:
        WorkerError: ``model_unavailable`` when the class cannot be loaded so, or is not what the file holds.
    """
    cls: Any = getattr(diffusers, files.pipeline_class)
    if not hasattr(cls, "from_single_file"):
        told = f"{files.pipeline_class} cannot be loaded from a single file; give a folder in the diffusers layout"
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, told)
    with safe_open(path, framework="pt") as file:
        held = group_of_tensors(file.keys())
    described = group_of_class(files.pipeline_class)
    if held is not None and described is not None and held != described:
        told = f"{path} holds a {held} checkpoint, but its config {files.folder} describes {files.pipeline_class}"
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, told)
    # Without a folder as config diffusers goes online, local_files_only or not.
    try:
        return cls.from_single_file(str(path), config=str(files.folder), local_files_only=True, dtype=dtype)
    except NotImplementedError as error:
        # What torch says of a tensor that no file had: there is nothing to copy.
        if "meta tensor" not in str(error):
            raise
        told = f"{path} lacks tensors of {files.pipeline_class} as its config {files.folder} describes it"
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, told) from error


def group_of_tensors(names: Iterable[str]) -> str | None:
    """Which group of pipeline classes a checkpoint of these tensor names is for; None: not known."""
    known = list(names)
    return next((group for mark, group in _MARKS if any(mark in name for name in known)), None)


def group_of_class(pipeline_class: str) -> str | None:
    """The group a class belongs to; None: another one."""
    return next((group for group in _GROUPS if pipeline_class.startswith(group)), None)
