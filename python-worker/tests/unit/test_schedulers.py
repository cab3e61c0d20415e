"""Which noise scheduler a plan gets, and what it may ask of it."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

from safelight_worker.pipelines.scheduler_options import ALLOWED, Boolean, Choice, accepted_options
from safelight_worker.pipelines.schedulers import choose, set_timesteps, step_arguments
from safelight_worker.types import FailureKind, OptionValue, WorkerError
from tests.support.exactness import FOR_SD

OWN = DPMSolverMultistepScheduler(beta_schedule="scaled_linear", use_karras_sigmas=True, steps_offset=1)
FLOW = FlowMatchEulerDiscreteScheduler()


def refused(pristine: Any, name: str, options: dict[str, Any]) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        choose(pristine, name, options)
    assert caught.value.kind is FailureKind.INVALID_REQUEST
    return caught.value


@pytest.mark.parametrize("name", FOR_SD)
def test_every_allowed_class_is_of_diffusers_and_steps(name: str) -> None:
    scheduler = choose(OWN, name, {}).build(OWN)
    assert type(scheduler) is getattr(diffusers, name)
    scheduler.set_timesteps(4)
    sample = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
    generator = torch.Generator().manual_seed(0)
    for t in scheduler.timesteps:
        scheduler.scale_model_input(sample, t)
        sample = scheduler.step(sample * 0.1, t, sample, **step_arguments(scheduler, generator))[0]
    assert torch.isfinite(sample).all()


def _values(name: str) -> list[tuple[str, OptionValue]]:
    found: list[tuple[str, OptionValue]] = []
    for option, rule in ALLOWED[name].options.items():
        if isinstance(rule, Boolean):
            found += [(option, True), (option, False)]
        elif isinstance(rule, Choice):
            found += [(option, value) for value in rule.values]
        else:
            found += [(option, int(rule.low) or 1), (option, int(rule.high))]
    return found


@pytest.mark.parametrize(
    ("name", "option", "value"), [(name, *pair) for name in ALLOWED for pair in _values(name)], ids=str
)
def test_every_value_of_every_option_makes_timesteps(name: str, option: str, value: OptionValue) -> None:
    pristine = FLOW if name.startswith("FlowMatch") else OWN
    scheduler = choose(pristine, name, {option: value}).build(pristine)
    scheduler.set_timesteps(6)
    assert len(scheduler.timesteps) >= 6


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "LCMScheduler", "TCDScheduler"])
def test_classes_that_would_clip_latents_are_kept_from_it(name: str) -> None:
    assert getattr(diffusers, name)().config.clip_sample is True or name in ("LCMScheduler", "TCDScheduler")
    assert choose(OWN, name, {}).build(OWN).config.clip_sample is False


def test_the_default_is_dpm_solver_with_karras_sigmas() -> None:
    choice = choose(EulerDiscreteScheduler(), "", {})
    assert (choice.class_name, dict(choice.options)) == ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True})


def test_the_default_gives_way_to_sigmas_asked_for() -> None:
    scheduler = choose(OWN, "", {"use_exponential_sigmas": True}).build(OWN)
    assert (scheduler.config.use_karras_sigmas, scheduler.config.use_exponential_sigmas) == (False, True)


def test_sigmas_asked_for_replace_those_of_the_models_config() -> None:
    scheduler = choose(OWN, "EulerDiscreteScheduler", {"use_exponential_sigmas": True}).build(OWN)
    assert (scheduler.config.use_karras_sigmas, scheduler.config.use_exponential_sigmas) == (False, True)


def test_flow_matching_keeps_its_own() -> None:
    assert choose(FLOW, "", {}).class_name == "FlowMatchEulerDiscreteScheduler"
    assert refused(FLOW, "EulerDiscreteScheduler", {}).field == "scheduler"
    assert refused(OWN, "FlowMatchEulerDiscreteScheduler", {}).field == "scheduler"


def test_an_unknown_class_is_refused_with_those_that_are_known() -> None:
    error = refused(OWN, "MagicScheduler", {})
    assert error.field == "scheduler"
    assert "EulerDiscreteScheduler" in error.message


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("EulerDiscreteScheduler", {"solver_order": 2}, "solver_order"),
        ("", {"no_such_option": 1}, "no_such_option"),
        ("EulerDiscreteScheduler", {"use_karras_sigmas": "yes"}, "use_karras_sigmas"),
        ("EulerDiscreteScheduler", {"timestep_spacing": 3}, "timestep_spacing"),
        ("EulerDiscreteScheduler", {"timestep_spacing": "sideways"}, "timestep_spacing"),
        ("DPMSolverMultistepScheduler", {"solver_order": 2.5}, "solver_order"),
        ("DPMSolverMultistepScheduler", {"solver_order": 9}, "solver_order"),
        ("DPMSolverMultistepScheduler", {"solver_order": True}, "solver_order"),
        (
            "EulerDiscreteScheduler",
            {"use_karras_sigmas": True, "use_exponential_sigmas": True},
            "use_exponential_sigmas",
        ),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_by_name(name: str, options: dict[str, Any], field: str) -> None:
    assert refused(OWN, name, options).field == f"scheduler_options.{field}"


def test_a_shift_out_of_range_is_refused() -> None:
    assert choose(FLOW, "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}).build(FLOW).shift == 3.0
    assert refused(FLOW, "FlowMatchEulerDiscreteScheduler", {"shift": 0}).field == "scheduler_options.shift"


def test_options_are_told_in_alphabetical_order() -> None:
    told = accepted_options()
    assert list(told) == sorted(ALLOWED)
    assert all(options == sorted(options) for options in told.values())


def test_a_model_on_flow_sigmas_keeps_its_own_scheduler() -> None:
    own = DPMSolverMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction")
    choice = choose(own, "", {})
    assert choice.class_name == "DPMSolverMultistepScheduler"
    scheduler = choice.build(own)
    scheduler.set_timesteps(4)
    assert float(scheduler.sigmas.max()) <= 1.0
    assert refused(own, "EulerDiscreteScheduler", {}).field == "scheduler"


def test_a_class_made_for_one_pipeline_is_not_exchanged() -> None:
    own = diffusers.DDPMWuerstchenScheduler()
    assert choose(own, "", {}).class_name == "DDPMWuerstchenScheduler"
    assert refused(own, "DDIMScheduler", {}).field == "scheduler"


@pytest.mark.parametrize(("name", "steps"), [("DDIMScheduler", 1200), ("LCMScheduler", 60), ("", 2000)])
def test_a_schedule_that_cannot_be_made_is_refused_with_its_field(name: str, steps: int) -> None:
    scheduler = choose(OWN, name, {}).build(OWN)
    with pytest.raises(WorkerError) as caught:
        set_timesteps(scheduler, steps, torch.device("cpu"))
    assert caught.value.kind is FailureKind.INVALID_REQUEST
    assert caught.value.field == "num_inference_steps"
