"""A shared pipeline's private face for one request.

diffusers pipelines are not made to be called twice at a time: a call writes guidance, interrupt flags and the state of its
noise scheduler into the pipeline (huggingface/diffusers#1606, #3672). A view is a shallow copy that shares the heavy modules
by reference and owns whatever a call mutates. The base pipeline is never called.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from safelight_worker.types import FailureKind, WorkerError

#: Tensors above this many elements are weights in all but name: shared, never cloned.
SHARED_ABOVE_ELEMENTS = 1_000_000


class _SilentBar:
    """Stands for tqdm, whose bar would write to the log and keep a thread."""

    def update(self, _n: int = 1) -> None:
        """Counts nothing."""


def request_view(
    pipe: DiffusionPipeline,
    device: torch.device,
    shared_above: int = SHARED_ABOVE_ELEMENTS,
    copy_schedulers: bool = True,
) -> DiffusionPipeline:
    """Makes a view of ``pipe`` that runs on ``device``.

    Every component that is a scheduler is copied fresh, or, with ``copy_schedulers`` off, left out for who brings its own;
    small containers and tensors on the pipeline are copied; modules and tensors above ``shared_above`` elements are shared.

    Raises:
        WorkerError: ``internal`` when a scheduler can be neither copied nor rebuilt. It is never shared silently.
    """
    view = copy.copy(pipe)
    view.__class__ = _view_class(type(pipe))
    state = view.__dict__
    state["_view_device"] = device
    for name, value in list(state.items()):
        if isinstance(value, SchedulerMixin):
            state[name] = fresh_scheduler(value) if copy_schedulers else None
        elif isinstance(value, DiffusionPipeline):
            # Combined pipelines (Würstchen, Kandinsky, Stable Cascade) call others, which have schedulers of their own.
            state[name] = request_view(value, device, shared_above, copy_schedulers)
        elif name != "_internal_dict":
            state[name] = _private(value, shared_above)
    return view


def fresh_scheduler(scheduler: SchedulerMixin) -> SchedulerMixin:
    """A scheduler that shares no state with this one. Copies, because a rebuilt one forgets ``set_shift``."""
    try:
        copied: SchedulerMixin = copy.deepcopy(scheduler)
    except Exception as copy_error:  # noqa: BLE001  whatever a third-party class raises, there is a second way
        try:
            return type(scheduler).from_config(scheduler.config)
        except Exception as error:
            name = type(scheduler).__name__
            message = f"{name} can be neither copied ({copy_error}) nor rebuilt ({error}); it must not be shared"
            raise WorkerError(FailureKind.INTERNAL, message) from error
    return copied


def _private(value: Any, shared_above: int) -> Any:
    if isinstance(value, torch.nn.Module):
        return value
    if isinstance(value, torch.Tensor):
        return value.clone() if value.numel() <= shared_above else value
    if type(value) in (dict, list, set):
        return copy.copy(value)
    return value


_view_classes: dict[type, type] = {}


def _view_class(base: type) -> type:
    """A subclass of the pipeline's class for views; one per class, so that ``isinstance`` still tells the family."""
    if base not in _view_classes:
        _view_classes[base] = type(
            f"{base.__name__}View",
            (base,),
            {
                "__doc__": f"Request view of {base.__name__}.",
                "_execution_device": property(lambda self: self._view_device),
                # Would move every component to the CPU and reset caches under another request in flight.
                "maybe_free_model_hooks": lambda _self: None,
                "progress_bar": _progress_bar,
            },
        )
    return _view_classes[base]


@contextmanager
def _silent_bar() -> Iterator[_SilentBar]:
    yield _SilentBar()


def _progress_bar(_self: Any, iterable: Any = None, total: int | None = None) -> Any:  # noqa: ARG001
    """As the pipeline's own, without tqdm."""
    return iterable if iterable is not None else _silent_bar()
