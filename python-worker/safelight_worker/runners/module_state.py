"""What pipelines change on the modules they share, put back when their call ends in whatever way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

#: Fields of these types are options (tiling, tile sizes, training mode); all others are structure.
_PLAIN = (bool, int, float, str, type(None))


@contextmanager
def kept_module_state(components: Iterable[Any]) -> Iterator[None]:
    """Restores attention processors, dtypes, options and LoRA scales, and empties caches, of those components that are
    modules. Values of weights are not looked at: no pipeline writes into them. Nor are hooks, which transformers registers at
    a first call and keeps."""
    modules = list({id(each): each for each in components if isinstance(each, torch.nn.Module)}.values())
    with ExitStack() as restores:
        for module in modules:
            for remember in (_caches, _options, _scales, _dtypes, _processors):
                restores.callback(remember(module))
        yield


def _processors(module: Any) -> Callable[[], None]:
    saved = dict(getattr(module, "attn_processors", {}))

    def restore() -> None:
        if saved and dict(module.attn_processors) != saved:
            # It takes out of the mapping it is given.
            module.set_attn_processor(dict(saved))

    return restore


def _dtypes(module: torch.nn.Module) -> Callable[[], None]:
    """Per tensor, because some layers stay in float32 on purpose. Casting up and back loses nothing."""
    saved = {name: tensor.dtype for name, tensor in _tensors(module)}

    def restore() -> None:
        for name, tensor in _tensors(module):
            if tensor.dtype != saved.get(name, tensor.dtype):
                tensor.data = tensor.data.to(saved[name])

    return restore


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _options(module: torch.nn.Module) -> Callable[[], None]:
    saved = {name: value for name, value in vars(module).items() if name[0] != "_" and type(value) in _PLAIN}

    def restore() -> None:
        for name, value in saved.items():
            if vars(module).get(name, value) is not value:
                setattr(module, name, value)
        if any(each.training != module.training for each in module.modules()):
            module.train(module.training)

    return restore


def _scales(module: torch.nn.Module) -> Callable[[], None]:
    """Pipelines scale the LoRA layers of text encoders for one call (peft keeps the scale in each layer)."""
    scalings = (vars(each).get("scaling") for each in module.modules())
    layers = [scaling for scaling in scalings if isinstance(scaling, dict)]
    saved = [dict(scaling) for scaling in layers]

    def restore() -> None:
        for scaling, before in zip(layers, saved, strict=True):
            scaling.update(before)

    return restore


def _caches(module: Any) -> Callable[[], None]:
    """What pipelines themselves do at the end of a call that succeeds."""

    def restore() -> None:
        if getattr(module, "is_cache_enabled", False):
            module._reset_stateful_cache()
        if hasattr(module, "clear_cache"):
            module.clear_cache()

    return restore
