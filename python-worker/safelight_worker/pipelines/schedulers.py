"""Noise schedulers: which may be named, what each needs to be right on any model's config, how one is made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from safelight_worker.types import FailureKind, OptionValue, WorkerError

DEFAULT = "DPMSolverMultistepScheduler"

_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "timestep_spacing")
_MULTISTEP = (*_SIGMAS, "solver_order", "lower_order_final")


@dataclass(frozen=True)
class Allowed:
    """A class a plan may name: the options it may set, and what we set over the model's config.

    ``from_config`` gives the class's own defaults to fields the model's config lacks. Those that destroy a latent model's
    picture without an error are set here (DDIM and DDPM would clip latents to ±1).
    """

    options: tuple[str, ...]
    forced: Mapping[str, OptionValue] = field(default_factory=dict)


ALLOWED: Mapping[str, Allowed] = {
    "DDIMScheduler": Allowed(("timestep_spacing",), {"clip_sample": False, "set_alpha_to_one": False}),
    "DDPMScheduler": Allowed(("timestep_spacing",), {"clip_sample": False}),
    "DEISMultistepScheduler": Allowed(_MULTISTEP),
    "DPMSolverMultistepScheduler": Allowed(
        (*_MULTISTEP, "algorithm_type", "solver_type", "euler_at_final", "final_sigmas_type")
    ),
    "DPMSolverSinglestepScheduler": Allowed(
        ("use_karras_sigmas", "use_exponential_sigmas", "solver_order", "solver_type", "final_sigmas_type")
    ),
    "EulerAncestralDiscreteScheduler": Allowed(("timestep_spacing",)),
    "EulerDiscreteScheduler": Allowed((*_SIGMAS, "final_sigmas_type")),
    "FlowMatchEulerDiscreteScheduler": Allowed(("shift",)),
    "HeunDiscreteScheduler": Allowed(_SIGMAS),
    "KDPM2AncestralDiscreteScheduler": Allowed(_SIGMAS),
    "KDPM2DiscreteScheduler": Allowed(_SIGMAS),
    "LCMScheduler": Allowed(("timestep_spacing",), {"clip_sample": False}),
    "PNDMScheduler": Allowed(("timestep_spacing", "skip_prk_steps"), {"skip_prk_steps": True, "set_alpha_to_one": False}),
    "SASolverScheduler": Allowed(("use_karras_sigmas", "use_exponential_sigmas", "timestep_spacing")),
    "TCDScheduler": Allowed(("timestep_spacing",), {"clip_sample": False}),
    "UniPCMultistepScheduler": Allowed((*_MULTISTEP, "solver_type", "final_sigmas_type")),
}

_FLOW_MATCHING = ("FlowMatchEulerDiscreteScheduler",)


@dataclass(frozen=True)
class SchedulerChoice:
    """A noise scheduler resolved for a model: build one per image, never share it."""

    class_name: str
    options: Mapping[str, OptionValue]

    def build(self, pristine: SchedulerMixin) -> SchedulerMixin:
        """A fresh scheduler from the *config* of the model's own, which is never stepped."""
        cls = getattr(diffusers, self.class_name)
        overrides = {**ALLOWED[self.class_name].forced, **self.options} if self.class_name in ALLOWED else self.options
        scheduler: SchedulerMixin = cls.from_config(pristine.config, **overrides)
        return scheduler


def choose(pristine: SchedulerMixin, name: str, options: Mapping[str, OptionValue]) -> SchedulerChoice:
    """Resolves a plan's wish against a model. Empty name: DPM-Solver++ with Karras sigmas, or the model's own where
    flow matching admits no other.

    Raises:
        WorkerError: ``invalid_request`` naming ``scheduler`` or ``scheduler_options.<option>``.
    """
    own = type(pristine).__name__
    flow = own.startswith("FlowMatch")
    if not name:
        return SchedulerChoice(own, dict(options)) if flow else SchedulerChoice(DEFAULT, {"use_karras_sigmas": True, **options})
    if name not in ALLOWED:
        raise WorkerError(FailureKind.INVALID_REQUEST, f"{name} is not among {', '.join(ALLOWED)}", "scheduler")
    if (name in _FLOW_MATCHING) != flow:
        raise WorkerError(FailureKind.INVALID_REQUEST, f"{name} cannot stand in for the model's {own}", "scheduler")
    for option in options:
        if option not in ALLOWED[name].options:
            allowed = ", ".join(ALLOWED[name].options)
            raise WorkerError(
                FailureKind.INVALID_REQUEST, f"{name} takes {allowed}; not {option}", f"scheduler_options.{option}"
            )
    return SchedulerChoice(name, dict(options))


def step_arguments(scheduler: SchedulerMixin, generator: Any) -> dict[str, Any]:
    """What ``pipe()`` passes to ``step`` of this class beside the sample: the generator, and eta where it exists."""
    accepted = inspect.signature(scheduler.step).parameters
    arguments: dict[str, Any] = {}
    if "eta" in accepted:
        arguments["eta"] = 0.0
    if "generator" in accepted:
        arguments["generator"] = generator
    return arguments
