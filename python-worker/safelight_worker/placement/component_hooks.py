"""Tells which component of a pipeline is about to be used, while a whole call runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module


class _Before(ModelHook):
    def __init__(self, tell: Callable[[], None], device: torch.device) -> None:
        self._tell = tell
        # Where diffusers sends the latents before a decode (get_module_execution_device): the module itself may be away.
        self.execution_device = device

    def pre_forward(self, module: torch.nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:  # noqa: ARG002
        self._tell()
        return args, kwargs


@contextmanager
def component_hooks(
    components: Mapping[str, torch.nn.Module], device: torch.device, before: Callable[[str], None]
) -> Iterator[None]:
    """Calls ``before(name)`` ahead of each forward of a component, and of each ``encode`` and ``decode`` of a VAE, which diffusers
    lets accelerate's hooks see (``apply_forward_hook``). Takes the hooks off in any case."""
    hooked: list[torch.nn.Module] = []
    try:
        for name, module in components.items():
            add_hook_to_module(module, _Before(lambda name=name: before(name), device))  # type: ignore[misc]
            hooked.append(module)
        yield
    finally:
        for module in hooked:
            remove_hook_from_module(module)
