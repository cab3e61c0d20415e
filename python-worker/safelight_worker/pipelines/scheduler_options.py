"""Which noise schedulers a plan may name, and which config options it may set on each to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from safelight_worker.types import OptionValue


@dataclass(frozen=True)
class Boolean:
    """True or false."""

    limit = "true or false"

    def fits(self, value: object) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    values: tuple[str, ...]

    @property
    def limit(self) -> str:
        return f"one of {', '.join(self.values)}"

    def fits(self, value: object) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Number:
    """A number within bounds, both included."""

    low: float
    high: float
    whole: bool = False

    @property
    def limit(self) -> str:
        return f"{'an integer' if self.whole else 'a number'} from {self.low:g} to {self.high:g}"

    def fits(self, value: object) -> bool:
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high


Rule = Boolean | Choice | Number


@dataclass(frozen=True)
class Allowed:
    """A class a plan may name: the options it may set, and what is set over the model's config in any case.

    ``from_config`` gives the class's own defaults to fields the model's config lacks. Those that destroy a latent model's
    picture without an error are set here (DDIM and DDPM would clip latents to ±1).
    """

    options: Mapping[str, Rule]
    forced: Mapping[str, OptionValue] = field(default_factory=dict)


_SPACING: dict[str, Rule] = {"timestep_spacing": Choice(("linspace", "leading", "trailing"))}
_SIGMAS: dict[str, Rule] = {"use_karras_sigmas": Boolean(), "use_exponential_sigmas": Boolean(), **_SPACING}
_FINAL_SIGMAS: dict[str, Rule] = {"final_sigmas_type": Choice(("zero", "sigma_min"))}
_ORDER: dict[str, Rule] = {"solver_order": Number(1, 3, whole=True)}
_MULTISTEP: dict[str, Rule] = {**_SIGMAS, **_ORDER, "lower_order_final": Boolean()}
_MIDPOINT: dict[str, Rule] = {"solver_type": Choice(("midpoint", "heun"))}

#: By diffusers class name, in alphabetical order.
ALLOWED: Mapping[str, Allowed] = {
    "DDIMScheduler": Allowed(_SPACING, {"clip_sample": False, "set_alpha_to_one": False}),
    "DDPMScheduler": Allowed(_SPACING, {"clip_sample": False}),
    "DEISMultistepScheduler": Allowed(_MULTISTEP),
    "DPMSolverMultistepScheduler": Allowed(
        {
            **_MULTISTEP,
            **_MIDPOINT,
            **_FINAL_SIGMAS,
            "algorithm_type": Choice(("dpmsolver++", "sde-dpmsolver++")),
            "euler_at_final": Boolean(),
        }
    ),
    "DPMSolverSinglestepScheduler": Allowed(
        {
            "use_karras_sigmas": Boolean(),
            "use_exponential_sigmas": Boolean(),
            **_ORDER,
            **_MIDPOINT,
            **_FINAL_SIGMAS,
        }
    ),
    "EulerAncestralDiscreteScheduler": Allowed(_SPACING),
    "EulerDiscreteScheduler": Allowed({**_SIGMAS, **_FINAL_SIGMAS}),
    "FlowMatchEulerDiscreteScheduler": Allowed({"shift": Number(0.01, 100)}),
    "HeunDiscreteScheduler": Allowed(_SIGMAS),
    "KDPM2AncestralDiscreteScheduler": Allowed(_SIGMAS),
    "KDPM2DiscreteScheduler": Allowed(_SIGMAS),
    "LCMScheduler": Allowed(_SPACING, {"clip_sample": False}),
    "PNDMScheduler": Allowed(
        {**_SPACING, "skip_prk_steps": Boolean()}, {"skip_prk_steps": True, "set_alpha_to_one": False}
    ),
    "SASolverScheduler": Allowed(_SIGMAS),
    "TCDScheduler": Allowed(_SPACING, {"clip_sample": False}),
    "UniPCMultistepScheduler": Allowed({**_MULTISTEP, **_FINAL_SIGMAS, "solver_type": Choice(("bh1", "bh2"))}),
}


def accepted_options() -> dict[str, list[str]]:
    """Class names with the names of their options, both in alphabetical order."""
    return {name: sorted(allowed.options) for name, allowed in sorted(ALLOWED.items())}
