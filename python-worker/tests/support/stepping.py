"""A step adapter driven by hand, without an engine around it."""

from __future__ import annotations

from typing import Any

import torch

from safelight_worker.pipelines.adapter import StepAdapter
from safelight_worker.pipelines.schedulers import choose
from safelight_worker.pipelines.state import StepState
from safelight_worker.runners.outputs import Picture
from safelight_worker.runners.request_view import request_view
from safelight_worker.types import Plan


def view_of(adapter: StepAdapter, plan: Plan) -> Any:
    return request_view(adapter.pipe(plan.inputs.task), adapter.model.device, copy_schedulers=False)


def begin(adapter: StepAdapter, plan: Plan, seed: int | None = None) -> StepState:
    """A state at step 0."""
    view = view_of(adapter, plan)
    choice = choose(adapter.model.pipe.scheduler, plan.scheduler, plan.scheduler_options)
    with torch.inference_mode():
        return adapter.prepare(view, choice, adapter.encode(view, plan), plan, plan.seeds[0] if seed is None else seed)


def advance(adapter: StepAdapter, states: list[StepState], pad_to: int = 0) -> None:
    """One step of all states in one forward."""
    with torch.inference_mode():
        for state, predicted in zip(states, adapter.predict(states, pad_to), strict=True):
            state.latents = adapter.apply(state, predicted)
            state.step += 1


def finish(adapter: StepAdapter, plan: Plan, state: StepState) -> Picture:
    """The picture after the steps that are left, (height, width, 3) float32."""
    while state.step < state.steps:
        advance(adapter, [state])
    with torch.inference_mode():
        view = view_of(adapter, plan)
        decoded = adapter.decode(view, state)
        picture: Picture = view.image_processor.postprocess(decoded, output_type="np")[0]
    return picture


def draw(adapter: StepAdapter, plan: Plan, seed: int | None = None) -> Picture:
    """The picture of a plan that runs alone."""
    return finish(adapter, plan, begin(adapter, plan, seed))
