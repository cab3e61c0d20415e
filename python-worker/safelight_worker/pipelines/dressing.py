"""What a model's settings change about a loaded pipeline before anybody uses it: layout, fused projections, compiling."""

from __future__ import annotations

import logging
from typing import Any

import torch
from diffusers import DiffusionPipeline

from safelight_worker.pipelines.quantization import DENOISERS
from safelight_worker.types import ModelSpec

log = logging.getLogger(__name__)

#: Components made of two-dimensional convolutions, which is what the layout is for.
_CONVOLUTIONAL = ("unet", "vae")


def dress(pipe: DiffusionPipeline, spec: ModelSpec) -> None:
    """Applies ``fuse_projections``, ``channels_last`` and ``compile``; what a class cannot do is told in the log.

    In this order: fusing makes new weights, which the layout and the compiler must see.
    """
    if spec.fuse_projections:
        _fuse(pipe, spec)
    if spec.channels_last:
        _lay_out(pipe, spec)
    if spec.compile:
        _compile(pipe, spec)


def _fuse(pipe: DiffusionPipeline, spec: ModelSpec) -> None:
    fusable = [pipe] if hasattr(pipe, "fuse_qkv_projections") else _denoisers(pipe)
    fusable = [each for each in fusable if hasattr(each, "fuse_qkv_projections")]
    if not fusable:
        log.warning("projections cannot be fused", extra={"model": spec.id, "pipeline_class": type(pipe).__name__})
    for each in fusable:
        each.fuse_qkv_projections()


def _lay_out(pipe: DiffusionPipeline, spec: ModelSpec) -> None:
    modules: list[Any] = [getattr(pipe, name, None) for name in _CONVOLUTIONAL]
    # The layout is of four dimensions; a module with convolutions over time cannot take it.
    flat = [module for module in modules if module is not None and all(p.dim() != 5 for p in module.parameters())]
    if not flat:
        log.warning("there is nothing to lay out channels last", extra={"model": spec.id})
    for module in flat:
        module.to(memory_format=torch.channels_last)


def _compile(pipe: DiffusionPipeline, spec: ModelSpec) -> None:
    """Repeated blocks only: one compilation serves all of them, and it happens at the first forward."""
    for module in _denoisers(pipe):
        if getattr(module, "_repeated_blocks", None):
            module.compile_repeated_blocks()
        else:
            log.warning(
                "class has no repeated blocks to compile", extra={"model": spec.id, "class": type(module).__name__}
            )


def _denoisers(pipe: DiffusionPipeline) -> list[Any]:
    return [getattr(pipe, name) for name in DENOISERS if getattr(pipe, name, None) is not None]
