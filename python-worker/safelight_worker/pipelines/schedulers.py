"""The noise scheduler of a generation: resolved for a model, built anew for every image."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from safelight_worker.pipelines.scheduler_options import ALLOWED
from safelight_worker.types import FailureKind, OptionValue, WorkerError

#: The server's default, with Karras sigmas.
DEFAULT = "DPMSolverMultistepScheduler"

#: Ways to space the noise levels, of which a scheduler takes one.
_SIGMA_FLAGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")

#: Not to be named, but others can stand in for them.
_EXCHANGEABLE_TOO = ("LMSDiscreteScheduler", "DPMSolverSDEScheduler")

#: Classes that index ``alphas_cumprod``, on the host, with the timestep.
_LOOKS_UP_TIMESTEPS = ("DDIMScheduler", "DDPMScheduler", "LCMScheduler", "PNDMScheduler", "TCDScheduler")

#: Config fields whose values mean something else, or nothing, to another class (SA-Solver refuses "dpmsolver++").
_OF_THE_CLASS = ("algorithm_type", "solver_type")


@dataclass(frozen=True)
class SchedulerChoice:
    """A noise scheduler resolved for a model: build one per image, never share it."""

    class_name: str
    options: Mapping[str, OptionValue]

    def build(self, pristine: SchedulerMixin) -> SchedulerMixin:
        """A fresh scheduler from the *config* of the model's own, which is never stepped.

        Raises:
            ValueError, NotImplementedError: The class refuses the combination of options and config.
        """
        cls = getattr(diffusers, self.class_name)
        fields = inspect.signature(cls.__init__).parameters
        overrides: dict[str, Any] = {}
        if cls is not type(pristine):
            overrides |= {name: fields[name].default for name in _OF_THE_CLASS if name in fields}
        if self.class_name in ALLOWED:
            overrides |= ALLOWED[self.class_name].forced
        if any(self.options.get(flag) for flag in _SIGMA_FLAGS):
            # The one asked for replaces the one the model's config may name.
            overrides |= {flag: False for flag in _SIGMA_FLAGS if flag in fields}
        scheduler: SchedulerMixin = cls.from_config(pristine.config, **{**overrides, **self.options})
        return scheduler


def choose(pristine: SchedulerMixin, name: str, options: Mapping[str, OptionValue]) -> SchedulerChoice:
    """Resolves a plan's wish against a model. Empty name: DPM-Solver++ with Karras sigmas, or the model's own where no
    other can stand in for it.

    Raises:
        WorkerError: ``invalid_request`` naming ``scheduler`` or ``scheduler_options.<option>``.
    """
    own = type(pristine).__name__
    exchangeable = _is_exchangeable(pristine)
    if not name:
        name = DEFAULT if exchangeable else own
        if exchangeable and not any(options.get(flag) for flag in _SIGMA_FLAGS):
            options = {"use_karras_sigmas": True, **options}
    elif name not in ALLOWED:
        raise _invalid("scheduler", f"{name} is not among {', '.join(ALLOWED)}")
    elif name != own and (not exchangeable or name.startswith("FlowMatch")):
        raise _invalid("scheduler", f"{name} cannot stand in for the model's {own}")
    if name in ALLOWED:
        _check(name, options)
    elif options:
        raise _invalid(f"scheduler_options.{next(iter(options))}", f"the model's {own} takes no options")
    choice = SchedulerChoice(name, dict(options))
    try:
        choice.build(pristine)
    except (ValueError, TypeError, NotImplementedError, ImportError) as error:
        at_fault = f"scheduler_options.{next(iter(options))}" if options else "scheduler"
        raise _invalid(at_fault, f"{name} refuses this: {error}") from error
    return choice


def _is_exchangeable(pristine: SchedulerMixin) -> bool:
    """Whether the other classes can stand in for a model's own: neither for flow matching, which some models do with a
    DPM-Solver on flow sigmas (Karras sigmas would silently replace those), nor for a class made for one pipeline
    (Würstchen, CogVideoX, EDM, consistency models)."""
    own = type(pristine).__name__
    flow = own.startswith("FlowMatch") or bool(pristine.config.get("use_flow_sigmas"))
    return not flow and (own in ALLOWED or own in _EXCHANGEABLE_TOO)


def set_timesteps(scheduler: SchedulerMixin, steps: int, device: torch.device, **arguments: Any) -> None:
    """Makes the schedule of a fresh scheduler. ``arguments`` (``mu``, ``sigmas``) are passed on; with ``sigmas`` they alone
    count.

    Raises:
        WorkerError: ``invalid_request`` naming ``num_inference_steps`` when there cannot be that many: more than the model
            was trained on, or, for LCM and TCD, than it was distilled from.
    """
    trained = int(scheduler.config.num_train_timesteps)
    if steps > trained:
        raise _invalid("num_inference_steps", f"num_inference_steps is {steps}; the model was trained on {trained}")
    if "sigmas" not in arguments:
        arguments["num_inference_steps"] = steps
    # Those that look up a table on the host by timestep get theirs there: else the host would wait for the device at each step.
    on_host = type(scheduler).__name__ in _LOOKS_UP_TIMESTEPS
    try:
        scheduler.set_timesteps(device=torch.device("cpu") if on_host else device, **arguments)
    except (ValueError, IndexError) as error:
        message = f"{type(scheduler).__name__} makes no schedule of {steps} steps: {error}"
        raise _invalid("num_inference_steps", message) from error


def _check(name: str, options: Mapping[str, OptionValue]) -> None:
    rules = ALLOWED[name].options
    for option, value in options.items():
        if option not in rules:
            raise _invalid(f"scheduler_options.{option}", f"{name} takes {', '.join(rules)}; not {option}")
        if not rules[option].fits(value):
            raise _invalid(f"scheduler_options.{option}", f"{option} is {value!r}; expected {rules[option].limit}")
    flags = [flag for flag in _SIGMA_FLAGS if options.get(flag)]
    if len(flags) > 1:
        raise _invalid(f"scheduler_options.{flags[1]}", f"{' and '.join(flags)} exclude each other")


def _invalid(field: str, message: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, message, field)


def step_arguments(scheduler: SchedulerMixin, generator: torch.Generator) -> dict[str, Any]:
    """What ``pipe()`` passes to ``step`` of this class beside the sample: the generator, and eta where it exists."""
    accepted = _step_parameters(type(scheduler).step)
    arguments: dict[str, Any] = {}
    if "eta" in accepted:
        arguments["eta"] = 0.0
    if "generator" in accepted:
        arguments["generator"] = generator
    return arguments


@functools.cache
def _step_parameters(step: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(step).parameters)
