"""Being told of every denoising step of a whole call, whatever the pipeline.

Not all pipelines have a step callback and those that do pass it different things; every one of them asks its noise scheduler
for the next latents. A request's schedulers are its own, so their ``step`` can be overridden without anybody noticing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from diffusers import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

#: ``(latents, taken, expected)``: the latents after a step, where the scheduler tells them, and the steps of that scheduler so
#: far and in all.
OnStep = Callable[[Tensor | None, int, int], None]

_observed: dict[type, type] = {}


def observe_steps(view: DiffusionPipeline, on_step: OnStep) -> None:
    """Has ``on_step`` called after each step of every scheduler of a request view, nested pipelines' too. What it raises
    breaks the call off. The schedulers must belong to the view alone."""
    values = list(vars(view).values())
    for value in values:
        if isinstance(value, DiffusionPipeline):
            observe_steps(value, on_step)
    for value in values:
        # A combined pipeline and the one it calls may have the same scheduler; whoever steps it knows best how far it is.
        if isinstance(value, SchedulerMixin) and "_on_step" not in vars(value):
            value.__class__ = _observed_class(type(value))
            vars(value)["_on_step"] = _counted(view, on_step)


def _counted(view: Any, on_step: OnStep) -> Callable[[Any, Any], None]:
    # A plain function: pipelines that copy their scheduler deeply must not copy the request with it.
    def told(scheduler: Any, result: Any) -> None:
        latents = result[0] if isinstance(result, tuple) else getattr(result, "prev_sample", None)
        timesteps = getattr(scheduler, "timesteps", None)
        # Pipelines that start from a picture skip the first timesteps of the schedule, and say so here.
        expected = getattr(view, "_num_timesteps", 0) or (0 if timesteps is None else len(timesteps))
        vars(scheduler)["_steps_taken"] = taken = vars(scheduler).get("_steps_taken", 0) + 1
        on_step(latents if isinstance(latents, Tensor) else None, taken, expected)

    return told


def _observed_class(base: Any) -> type:
    """A subclass of the same name, one per class: some pipelines ask a scheduler for its class, and copies of it must step
    themselves."""
    if base not in _observed:

        @functools.wraps(base.step)
        def step(self: Any, *arguments: Any, **named: Any) -> Any:
            result = base.step(self, *arguments, **named)
            self._on_step(self, result)
            return result

        _observed[base] = type(base.__name__, (base,), {"__doc__": base.__doc__, "step": step})
    return _observed[base]
