"""From a plan to images that can take their first step."""

from __future__ import annotations

from collections.abc import Callable

import torch

from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.models import LoadedRunner, ModelStore
from safelight_worker.types import ModelSpec, Phase


class Interrupted(Exception):  # noqa: N818  it is no error
    """Breaks off work on an attempt that is cancelled or given back; never leaves the engine."""


def load(models: ModelStore, spec: ModelSpec) -> LoadedRunner:
    """The loaded model. Weights are ordinary tensors: those born in inference_mode could never be cast or hooked."""
    with torch.inference_mode(False), torch.no_grad():
        return models.get(spec)


def admit(attempt: Attempt, models: ModelStore, enter: Callable[[Phase], None]) -> None:
    """Loads, encodes and prepares. ``enter`` is called at the start of each phase and may raise to break off."""
    plan = attempt.plan
    if not models.holds(plan.model):
        enter(Phase.LOAD)
    attempt.loaded = load(models, plan.model)
    runner = attempt.runner
    runner.check(plan)
    enter(Phase.ENCODE)
    attempt.conditions = runner.encode(plan)
    enter(Phase.PREPARE)
    runner.measure(plan)
    for index, seed in enumerate(plan.seeds):
        enter(Phase.PREPARE)
        attempt.images.append(Image(index, seed, runner.prepare(plan, attempt.conditions, seed)))
    enter(Phase.DENOISE)
