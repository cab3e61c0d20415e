"""Runs a model step by step through its step adapter, many images in one forward."""

# ruff: noqa: ARG002  the arguments are those of the Runner protocol

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.previews import PreviewFactors
from safelight_worker.pipelines.prompts import unread_tokens
from safelight_worker.pipelines.schedulers import SchedulerChoice, choose
from safelight_worker.pipelines.sd15 import Conditions, Sd15Adapter, Sd15Record, Sd15State
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.row_caps import BUDGET_IN_FLIGHT, BUDGET_WARM_UP, RowCaps
from safelight_worker.runners.runner import Picture, to_picture
from safelight_worker.types import FailureKind, Plan, WorkerError

log = logging.getLogger(__name__)

#: Resolved wishes for a noise scheduler: checking one builds a scheduler, which takes as long as a small picture's step.
_CHOICES_KEPT = 64

#: Fields of schedulers into whose tensors ``step`` writes (PNDM's Runge-Kutta steps add up in one).
_WRITTEN_IN_PLACE = ("cur_model_output",)


class SteppedRunner:
    """A model whose images advance one step per tick, several in one forward."""

    kind = "stepped"

    def __init__(self, model: LoadedModel, adapter: Sd15Adapter, preview: PreviewFactors, caps: RowCaps) -> None:
        self._model = model
        self._adapter = adapter
        self._preview = preview
        self._caps = caps
        self._choices: dict[Hashable, SchedulerChoice] = {}

    @property
    def row_caps(self) -> dict[str, int]:
        return self._caps.as_dict()

    def warm_up(self) -> None:
        """Measures the cap of the model's own size, and has every kernel run once."""
        width, height = self._adapter.native_size()
        self._measure(width, height, BUDGET_WARM_UP)

    def measure(self, plan: Plan) -> None:
        if not plan.solo and plan.max_images != 1:
            self._measure(plan.width, plan.height, BUDGET_IN_FLIGHT)

    def row_cap(self, plan: Plan) -> int:
        return self._caps.known(_shape(plan.width, plan.height)) or 1

    def _measure(self, width: int, height: int, budget: float) -> None:
        if self._caps.known(_shape(width, height)) is not None:
            return
        with torch.inference_mode():
            trial = self._trial_state(width, height)

            def forward(images: int) -> None:
                self._adapter.predict([trial] * images)
                if self._model.device.type == "cuda":
                    torch.cuda.synchronize(self._model.device)

            self._caps.measure(_shape(width, height), forward, budget)

    def _trial_state(self, width: int, height: int) -> Sd15State:
        conditions = self._adapter.encode(self._view(), "a", "", 5.0)
        choice = choose(self._model.pipe.scheduler, "", {})
        return self._adapter.prepare(
            self._view(), choice, conditions, steps=2, guidance_scale=5.0, width=width, height=height, seed=0
        )

    def check(self, plan: Plan) -> SchedulerChoice:
        wish = (plan.scheduler, tuple(sorted(plan.scheduler_options.items())))
        choice = self._choices.get(wish)
        if choice is None:
            choice = choose(self._model.pipe.scheduler, plan.scheduler, plan.scheduler_options)
            if len(self._choices) >= _CHOICES_KEPT:
                self._choices.clear()
            self._choices[wish] = choice
        return choice

    def encode(self, plan: Plan) -> Conditions:
        warn_of_unread_tokens(self._model.pipe, plan)
        return self._adapter.encode(self._view(), plan.prompt, plan.negative_prompt, plan.guidance_scale)

    def prepare(self, plan: Plan, conditions: Conditions, seed: int) -> Sd15State:
        return self._adapter.prepare(
            self._view(),
            self.check(plan),
            conditions,
            steps=plan.num_inference_steps,
            guidance_scale=plan.guidance_scale,
            width=plan.width,
            height=plan.height,
            seed=seed,
        )

    def key(self, plan: Plan, state: Sd15State) -> Hashable:
        shapes = (tuple(state.latents.shape[1:]), tuple(state.conditions.positive.shape[1:]))
        return (id(self), shapes, state.latents.dtype)

    def tick(self, states: Sequence[Sd15State], on_progress: Callable[[int, int], None]) -> None:
        for state, predicted in zip(states, self._adapter.predict(states), strict=True):
            with _restored_on_error(state):
                latents = self._adapter.apply(state, predicted)
            state.latents = latents
            state.step += 1

    def finish(self, plan: Plan, state: Sd15State) -> Picture:
        decoded, rejected = self._adapter.decode(self._view(), state)
        if rejected:
            raise WorkerError(FailureKind.REJECTED_OUTPUT, "the model's safety checker rejects the picture")
        return to_picture(decoded)

    def preview(self, state: Sd15State) -> Picture | None:
        return self._preview.picture(state.latents)

    def to_host(self, state: Sd15State) -> Sd15Record:
        return self._adapter.to_host(state)

    def from_host(self, kept: Sd15Record) -> Sd15State:
        return self._adapter.from_host(kept)

    def _view(self) -> Any:
        return request_view(self._model.pipe, self._model.device)


def warn_of_unread_tokens(pipe: Any, plan: Plan) -> None:
    """Nothing degrades silently: a prompt longer than the text encoder reads is cut, and the log says by how much."""
    for name, text in (("prompt", plan.prompt), ("negative_prompt", plan.negative_prompt)):
        beyond = unread_tokens(pipe, text)
        if beyond > 0:
            log.warning(
                "the end of a text is beyond what the model reads",
                extra={"attempt": plan.attempt_id, "field": name, "unread_tokens": beyond},
            )


def _shape(width: int, height: int) -> str:
    return f"{width}x{height}"


@contextmanager
def _restored_on_error(state: Sd15State) -> Iterator[None]:
    """A step that breaks off leaves scheduler and generator as they were. Histories are lists of tensors that schedulers
    replace and, but for a few fields, never write into; so a shallow copy holds them."""
    fields: dict[str, Any] = {
        name: list(value) if isinstance(value, list) else value for name, value in vars(state.scheduler).items()
    }
    for name in _WRITTEN_IN_PLACE:
        if isinstance(fields.get(name), torch.Tensor):
            fields[name] = fields[name].clone()
    random = state.generator.get_state()
    try:
        yield
    except BaseException:
        vars(state.scheduler).clear()
        vars(state.scheduler).update(fields)
        state.generator.set_state(random)
        raise
