"""Runs any diffusers pipeline as one whole call through a view: one tick, with nobody beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.schedulers import choose
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.runner import Picture, to_picture
from safelight_worker.types import FailureKind, Plan, WorkerError


@dataclass
class CallState:
    """A call that has not been made, or the picture it made."""

    plan: Plan
    seed: int
    picture: Picture | None = None
    step: int = 0
    steps: int = 1


class ExclusiveRunner:
    """A model of a class without a step adapter. Progress and cancel come through the pipeline's own step callback."""

    kind = "exclusive"

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._accepted = inspect.signature(type(model.pipe).__call__).parameters

    def check(self, plan: Plan) -> None:
        scheduler = getattr(self._model.pipe, "scheduler", None)
        if scheduler is not None:
            choose(scheduler, plan.scheduler, plan.scheduler_options)
        elif plan.scheduler:
            raise WorkerError(FailureKind.INVALID_REQUEST, "this pipeline has no noise scheduler to exchange", "scheduler")

    def encode(self, plan: Plan) -> None:
        """Part of the call."""

    def prepare(self, plan: Plan, conditions: None, seed: int) -> CallState:
        return CallState(plan, seed)

    def key(self, plan: Plan, state: CallState) -> Hashable:
        return ("exclusive", id(state))

    def tick(self, states: Sequence[CallState], on_progress: Callable[[int, int], None]) -> None:
        (state,) = states
        plan = state.plan
        view = request_view(self._model.pipe, self._model.device)
        if getattr(view, "scheduler", None) is not None:
            view.scheduler = choose(view.scheduler, plan.scheduler, plan.scheduler_options).build(self._model.pipe.scheduler)

        def on_step_end(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            on_progress(step + 1, max(getattr(pipe, "num_timesteps", 0) or 0, plan.num_inference_steps))
            return tensors

        arguments = {
            "prompt": plan.prompt,
            "negative_prompt": plan.negative_prompt or None,
            "num_inference_steps": plan.num_inference_steps,
            "guidance_scale": plan.guidance_scale,
            "width": plan.width,
            "height": plan.height,
            "generator": torch.Generator().manual_seed(state.seed),
            "output_type": "pt",
            "callback_on_step_end": on_step_end,
        }
        with _restored(view):
            made = view(**{name: value for name, value in arguments.items() if name in self._accepted})
        state.picture = to_picture(made.images[:1] * 2 - 1)
        state.step = 1

    def finish(self, plan: Plan, state: CallState) -> Picture:
        assert state.picture is not None
        return state.picture

    def preview(self, state: CallState) -> None:
        return None


@contextmanager
def _restored(view: Any) -> Iterator[None]:
    """Puts back what some pipelines change on the shared modules and, when they break off, do not restore themselves."""
    modules = [module for module in view.components.values() if isinstance(module, torch.nn.Module)]
    processors = [(module, dict(module.attn_processors)) for module in modules if hasattr(module, "attn_processors")]
    dtypes = [(module, next((p.dtype for p in module.parameters()), None)) for module in modules]
    flags = [(module, name, vars(module)[name]) for module in modules for name in ("use_tiling", "use_slicing") if name in vars(module)]
    try:
        yield
    finally:
        for module, saved in processors:
            module.set_attn_processor(saved)
        for module, dtype in dtypes:
            if dtype is not None and next(module.parameters()).dtype != dtype:
                module.to(dtype)
        for module, name, value in flags:
            setattr(module, name, value)
