"""Runs any diffusers pipeline as one whole call through a view: one tick, with nobody beside it."""

# ruff: noqa: ARG002  the arguments are those of the Runner protocol

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.schedulers import SchedulerChoice, choose
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.runner import Picture
from safelight_worker.runners.stepped import warn_of_unread_tokens
from safelight_worker.types import FailureKind, Plan, WorkerError


@dataclass
class CallState:
    """A call that has not been made, or the picture it made. Lies on the host at all times."""

    plan: Plan
    seed: int
    picture: Picture | None = None
    step: int = 0
    steps: int = 1


class ExclusiveRunner:
    """A model of a class without a step adapter. Progress and cancel come through the pipeline's own step callback, so a
    cancel waits for the end of the step, of the encoding or of the decoding that is going on."""

    kind = "exclusive"

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._accepted = inspect.signature(type(model.pipe).__call__).parameters

    @property
    def row_caps(self) -> dict[str, int]:
        """None: calls share nothing."""
        return {}

    def check(self, plan: Plan) -> SchedulerChoice | None:
        scheduler = getattr(self._model.pipe, "scheduler", None)
        if scheduler is not None:
            return choose(scheduler, plan.scheduler, plan.scheduler_options)
        if plan.scheduler:
            raise WorkerError(
                FailureKind.INVALID_REQUEST, "this pipeline has no noise scheduler to exchange", "scheduler"
            )
        return None

    def measure(self, plan: Plan) -> None:
        """Nothing to learn."""

    def encode(self, plan: Plan) -> None:
        """Part of the call; here only what the text encoders will not read is logged."""
        warn_of_unread_tokens(self._model.pipe, plan)

    def prepare(self, plan: Plan, conditions: None, seed: int) -> CallState:
        """Part of the call."""
        return CallState(plan, seed)

    def key(self, plan: Plan, state: CallState) -> Hashable:
        return ("exclusive", id(state))

    def row_cap(self, plan: Plan) -> int:
        return 1

    def tick(self, states: Sequence[CallState], on_progress: Callable[[int, int], None]) -> None:
        (state,) = states
        plan = state.plan
        view = request_view(self._model.pipe, self._model.device)
        choice = self.check(plan)
        if choice is not None:
            view.scheduler = choice.build(self._model.pipe.scheduler)

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
        # Not inference_mode: a pipeline that casts a module inside it would leave weights behind that nothing else may use.
        with _restored(view), torch.inference_mode(False), torch.no_grad():
            made = view(**{name: value for name, value in arguments.items() if name in self._accepted})
        if any(getattr(made, "nsfw_content_detected", None) or []):
            raise WorkerError(FailureKind.REJECTED_OUTPUT, "the model's safety checker rejects the picture")
        # (1, 3, height, width) in 0 … 1 already.
        state.picture = made.images[0].permute(1, 2, 0).float().cpu().numpy()
        state.step = 1

    def finish(self, plan: Plan, state: CallState) -> Picture:
        assert state.picture is not None
        return state.picture

    def preview(self, state: CallState) -> None:
        """None: the latents stay inside the call."""
        return

    def to_host(self, state: CallState) -> CallState:
        return replace(state)

    def from_host(self, kept: CallState) -> CallState:
        return replace(kept)


@contextmanager
def _restored(view: Any) -> Iterator[None]:
    """Puts back what some pipelines change on the shared modules and, when they break off, do not restore themselves."""
    modules: list[Any] = [module for module in view.components.values() if isinstance(module, torch.nn.Module)]
    processors = [(module, dict(module.attn_processors)) for module in modules if hasattr(module, "attn_processors")]
    dtypes = [(module, next((p.dtype for p in module.parameters()), None)) for module in modules]
    names = ("use_tiling", "use_slicing")
    flags = [(module, name, vars(module)[name]) for module in modules for name in names if name in vars(module)]
    try:
        yield
    finally:
        for module, saved in processors:
            if dict(module.attn_processors) != saved:
                module.set_attn_processor(saved)
        for module, dtype in dtypes:
            if dtype is not None and next(module.parameters()).dtype != dtype:
                module.to(dtype)
        for module, name, value in flags:
            setattr(module, name, value)
