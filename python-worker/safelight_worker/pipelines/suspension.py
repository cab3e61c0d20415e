"""A noise scheduler as plain values on the host, and back: what a step has left in it, without its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin


def record(scheduler: SchedulerMixin) -> dict[str, Any]:
    """Class, config and fields of a scheduler in the middle of a generation, which is not changed. Tensors lie on the CPU and
    are the record's own; functions are left out, because the constructor makes them.

    ``on_device`` names the fields whose tensors were on the device; the others belong on the host (sigmas, by diffusers'
    choice).
    """
    fields = {n: v for n, v in vars(scheduler).items() if n != "_internal_dict" and not callable(v)}
    return {
        "class_name": type(scheduler).__name__,
        "config": dict(scheduler.config),
        "fields": {name: moved(value, torch.device("cpu")) for name, value in fields.items()},
        "on_device": tuple(sorted(name for name, value in fields.items() if _is_off_host(value))),
    }


def restore(kept: Mapping[str, Any], device: torch.device) -> SchedulerMixin:
    """A scheduler that goes on where the recorded one was; shares nothing with the record."""
    scheduler: SchedulerMixin = getattr(diffusers, kept["class_name"]).from_config(kept["config"])
    host = torch.device("cpu")
    for name, value in kept["fields"].items():
        setattr(scheduler, name, moved(value, device if name in kept["on_device"] else host))
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
