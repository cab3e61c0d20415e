"""From a plan to images that can take their first step."""

from __future__ import annotations

from collections.abc import Callable

import torch

from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.models import LoadedRunner, ModelStore
from safelight_worker.runners.attempt_record import read_states
from safelight_worker.types import MemoryPlan, ModelSpec, Phase


class Interrupted(Exception):  # noqa: N818  it is no error
    """Breaks off work on an attempt that is cancelled or given back; never leaves the engine."""


def load(
    models: ModelStore, spec: ModelSpec, in_use: Callable[[], frozenset[ModelSpec]], plan: MemoryPlan
) -> LoadedRunner:
    """The loaded model. Weights are ordinary tensors: those born in inference_mode could never be cast or hooked."""
    with torch.inference_mode(False), torch.no_grad():
        return models.get(spec, in_use, plan)


def encode(
    attempt: Attempt,
    models: ModelStore,
    in_use: Callable[[], frozenset[ModelSpec]],
    place: Callable[[], None],
    enter: Callable[[Phase], None],
) -> None:
    """Loads the model and encodes the prompt, unless a checkpoint holds what came of it. ``place`` follows the memory plans in
    flight once the model is known; ``enter`` is called at the start of each phase and may raise to break off."""
    plan = attempt.plan
    if not models.holds(plan.model):
        enter(Phase.LOAD)
    attempt.loaded = load(models, plan.model, in_use, plan.memory)
    runner = attempt.runner
    runner.check(plan)
    place()
    if plan.resume_from is None:
        enter(Phase.ENCODE)
        attempt.conditions = runner.encode(plan)


def prepare(attempt: Attempt, enter: Callable[[Phase], None]) -> None:
    """Makes the images, or takes them from a checkpoint; they can then take a step."""
    plan, runner = attempt.plan, attempt.runner
    enter(Phase.PREPARE)
    runner.measure(plan)
    if plan.resume_from is not None:
        assert attempt.loaded is not None
        states = read_states(attempt.loaded, plan)
        attempt.images = [Image(index, *pair) for index, pair in enumerate(zip(plan.seeds, states, strict=True))]
        attempt.resumed_at_step = attempt.reported_step = attempt.step
    else:
        for index, seed in enumerate(plan.seeds):
            enter(Phase.PREPARE)
            attempt.images.append(Image(index, seed, runner.prepare(plan, attempt.conditions, seed)))
    enter(Phase.DENOISE)
