"""A noise scheduler as a plain record on the host, and back: what a step has left in it, without its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin


@dataclass(frozen=True)
class SchedulerRecord:
    """Class, config and fields of a scheduler in the middle of a generation. Tensors lie on the CPU and are its own."""

    class_name: str
    config: dict[str, Any]
    fields: dict[str, Any]
    on_device: frozenset[str]
    """Fields whose tensors were on the device; the others belong on the host (sigmas, by diffusers' choice)."""


def record(scheduler: SchedulerMixin) -> SchedulerRecord:
    """Reads a scheduler without changing it. Functions are left out: the constructor makes them."""
    fields = {n: v for n, v in vars(scheduler).items() if n != "_internal_dict" and not callable(v)}
    on_device = frozenset(name for name, value in fields.items() if _is_off_host(value))
    copies = {name: moved(value, torch.device("cpu")) for name, value in fields.items()}
    return SchedulerRecord(type(scheduler).__name__, dict(scheduler.config), copies, on_device)


def restore(kept: SchedulerRecord, device: torch.device) -> SchedulerMixin:
    """A scheduler that goes on where the recorded one was; shares nothing with the record."""
    scheduler: SchedulerMixin = getattr(diffusers, kept.class_name).from_config(kept.config)
    host = torch.device("cpu")
    for name, value in kept.fields.items():
        setattr(scheduler, name, moved(value, device if name in kept.on_device else host))
    return scheduler


def moved(value: Any, device: torch.device) -> Any:
    """A copy of a tensor, or of a container of tensors, on a device; other values as they are."""
    if isinstance(value, torch.Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, (list, tuple)):
        return type(value)(moved(each, device) for each in value)
    if isinstance(value, dict):
        return {name: moved(each, device) for name, each in value.items()}
    return value


def _is_off_host(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.device.type != "cpu"
    return isinstance(value, (list, tuple)) and any(_is_off_host(each) for each in value)
