"""Flux step by step is what its pipelines draw: alone, in company, and after a stay on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler, UniPCMultistepScheduler

from safelight_worker.pipelines.flux import FluxAdapter
from safelight_worker.types import FailureKind, Task
from tests.support import tiny
from tests.support.engines import Workbench, same
from tests.support.exactness import TOLERANCE
from tests.support.flow_families import FlowFamily, through_the_engine

TASKS = pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)
STARTS = pytest.mark.parametrize("task", [Task.IMAGE_TO_IMAGE, Task.INPAINT], ids=lambda task: task.value)
TRUE_CFG = pytest.mark.parametrize("true_cfg_scale", [4.0, 1.0], ids=["guided", "unguided"])
SIZES = [(64, 64), (32, 64), (64, 32), (72, 40), (8, 8)]


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> FlowFamily:
    """Distilled on guidance; the schedule follows the size."""
    return FlowFamily(FluxAdapter, tiny.flux(), tmp_path_factory.mktemp("flux"), negative_prompt="blue")


@pytest.fixture(scope="module")
def unshifted(flux: FlowFamily) -> FlowFamily:
    """The same modules; the schedule is the same for all sizes."""
    return flux.with_parts(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0))


@TRUE_CFG
@pytest.mark.parametrize(("width", "height"), SIZES)
@TASKS
def test_one_image_alone_is_what_pipe_draws(
    flux: FlowFamily, task: Task, width: int, height: int, true_cfg_scale: float
) -> None:
    plan = flux.plan(task, width=width, height=height, true_cfg_scale=true_cfg_scale)
    picture = flux.alone(plan)
    assert picture.shape == (height, width, 3)
    assert same(picture, flux.reference(plan))


@pytest.mark.parametrize("guidance_scale", [1.0, 9.0])
def test_the_guidance_that_was_distilled_is_an_input(flux: FlowFamily, guidance_scale: float) -> None:
    plan = flux.plan(guidance_scale=guidance_scale)
    assert same(flux.alone(plan), flux.reference(plan))
    assert not same(flux.alone(plan), flux.alone(flux.plan(guidance_scale=3.0)))
    assert list(flux.begin(plan).branches) == ["positive"]


@pytest.mark.parametrize(
    ("true_cfg_scale", "negative_prompt", "branches"), [(4.0, "blue", 2), (4.0, "", 1), (1.0, "blue", 1)]
)
def test_true_guidance_takes_a_scale_and_a_negative_prompt(
    flux: FlowFamily, true_cfg_scale: float, negative_prompt: str, branches: int
) -> None:
    plan = flux.plan(true_cfg_scale=true_cfg_scale, negative_prompt=negative_prompt)
    assert len(flux.begin(plan).branches) == branches
    assert same(flux.alone(plan), flux.reference(plan))


def test_the_negative_prompt_matters_where_it_guides(flux: FlowFamily) -> None:
    one, other = (flux.plan(true_cfg_scale=4.0, negative_prompt=text) for text in ("blue", "red"))
    assert not same(flux.alone(one), flux.alone(other))


@TRUE_CFG
@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
@STARTS
def test_a_picture_to_start_from_is_what_pipe_makes_of_it(
    flux: FlowFamily, task: Task, strength: float, true_cfg_scale: float
) -> None:
    plan = flux.plan(task, strength, true_cfg_scale=true_cfg_scale, num_inference_steps=5, width=72, height=40)
    assert same(flux.alone(plan), flux.reference(plan))


@TRUE_CFG
@TASKS
def test_a_model_without_distilled_guidance_is_what_pipe_draws(
    tmp_path: Path, task: Task, true_cfg_scale: float
) -> None:
    schnell = FlowFamily(FluxAdapter, tiny.flux(guidance_embeds=False), tmp_path, negative_prompt="blue")
    plan = schnell.plan(task, true_cfg_scale=true_cfg_scale)
    assert same(schnell.alone(plan), schnell.reference(plan))
    assert "guidance" not in schnell.begin(plan).branches["positive"]


@TASKS
@pytest.mark.parametrize("shift", [1.0, 7.5])
def test_the_option_of_the_scheduler_is_what_pipe_makes_of_it(unshifted: FlowFamily, task: Task, shift: float) -> None:
    plan = unshifted.plan(task, scheduler="FlowMatchEulerDiscreteScheduler", scheduler_options={"shift": shift})
    assert same(unshifted.alone(plan), unshifted.reference(plan))
    assert not same(unshifted.alone(plan), unshifted.alone(unshifted.plan(task)))


def test_larger_pictures_stay_longer_in_the_noise(flux: FlowFamily, unshifted: FlowFamily) -> None:
    small, large = (flux.begin(flux.plan(width=side, height=side)) for side in (16, 64))
    assert bool((large.timesteps[1:] > small.timesteps[1:]).all())
    small, large = (unshifted.begin(unshifted.plan(width=side, height=side)) for side in (16, 64))
    assert torch.equal(large.timesteps, small.timesteps)


def test_a_model_with_a_scheduler_of_another_class_is_drawn_with_that(flux: FlowFamily) -> None:
    unipc: Any = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
    other = flux.with_parts(scheduler=unipc)
    plan = other.plan(num_inference_steps=5)
    assert same(other.alone(plan), other.reference(plan))
    assert other.refusal(other.plan(Task.IMAGE_TO_IMAGE)).field == "init_image"


def test_in_half_precision_too_one_image_alone_is_what_pipe_draws(tmp_path: Path) -> None:
    half = FlowFamily(FluxAdapter, tiny.flux().to(torch.bfloat16), tmp_path, negative_prompt="blue", true_cfg_scale=3.0)
    # A timestep is rounded to the latents' precision before it is divided; few timesteps tell.
    plans = [half.plan(task, num_inference_steps=13) for task in Task]
    assert all(same(half.alone(plan), half.reference(plan)) for plan in plans)


def test_a_model_whose_scheduler_cannot_follow_the_size_is_no_flux(flux: FlowFamily) -> None:
    heun: Any = FlowMatchHeunDiscreteScheduler()
    other = flux.with_parts(scheduler=heun)
    assert "takes no mu" in other.refusal(other.plan(), FailureKind.MODEL_UNAVAILABLE).message


@pytest.mark.parametrize(("width", "height", "field"), [(60, 64, "width"), (64, 60, "height")])
def test_a_size_of_broken_patches_is_refused(flux: FlowFamily, width: int, height: int, field: str) -> None:
    error = flux.refusal(flux.plan(width=width, height=height))
    assert error.field == field
    assert f"{field} is 60" in error.message
    assert "multiples of 8" in error.message


@STARTS
def test_a_strength_that_leaves_no_step_is_refused(flux: FlowFamily, task: Task) -> None:
    assert flux.refusal(flux.plan(task, 0.0)).field == "strength"


def test_requests_interleaved_step_by_step_draw_what_each_draws_alone(flux: FlowFamily) -> None:
    plans = flux.mixed(SIZES, 12)
    pictures = flux.interleaved(plans)
    assert all(same(picture, flux.reference(plan)) for plan, picture in zip(plans, pictures, strict=True))


@pytest.mark.parametrize("sizes", [[(64, 64)], SIZES], ids=["one size", "many sizes"])
def test_requests_that_share_forwards_draw_what_each_draws_alone(
    flux: FlowFamily, sizes: list[tuple[int, int]]
) -> None:
    plans = flux.mixed(sizes, 10)
    together = flux.together(plans)
    apart = [np.abs(one - flux.reference(plan)).max() for plan, one in zip(plans, together, strict=True)]
    assert max(apart) <= TOLERANCE


def test_equal_numbers_of_patches_in_another_shape_are_another_kind(flux: FlowFamily) -> None:
    wide, tall = (flux.begin(flux.plan(width=width, height=height)) for width, height in ((64, 32), (32, 64)))
    assert wide.latents.shape == tall.latents.shape
    assert wide.kind != tall.kind
    others = [flux.plan(task, prompt="blue", true_cfg_scale=2.0, width=64, height=32) for task in Task]
    assert {flux.begin(plan).kind for plan in others} == {wide.kind}


@TASKS
@pytest.mark.parametrize("at", [1, 3, 5])
@TRUE_CFG
def test_a_state_goes_to_the_host_and_back_bit_for_bit(
    flux: FlowFamily, task: Task, at: int, true_cfg_scale: float
) -> None:
    plan = flux.plan(task, 1.0, true_cfg_scale=true_cfg_scale, num_inference_steps=5)
    assert same(flux.after_a_stay_on_the_host(plan, at), flux.reference(plan))


def test_in_forwards_of_fixed_size_company_changes_no_bit(flux: FlowFamily) -> None:
    plans = flux.mixed([(64, 64)], 4)
    alone = {plan.attempt_id: flux.padded([plan], 6)[0] for plan in plans}
    for company in (plans, plans[::-1], plans[1:3]):
        latents = flux.padded(company, 6)
        assert all(torch.equal(alone[plan.attempt_id], one) for plan, one in zip(company, latents, strict=True))


def test_through_the_engine_too_pictures_are_what_pipe_draws(
    bench: Workbench, flux: FlowFamily, tmp_path: Path
) -> None:
    folder = tmp_path / "flux"
    flux.pipe.save_pretrained(folder)
    assert max(through_the_engine(bench, flux, folder, flux.mixed(SIZES, 10))) <= TOLERANCE
    assert through_the_engine(bench, flux, folder, [flux.plan(task, solo=True) for task in Task]) == [0.0] * len(Task)


def test_a_preview_has_the_layout_of_the_picture(flux: FlowFamily) -> None:
    state = flux.begin(flux.plan(width=72, height=40))
    assert state.latents.shape == (1, 9 * 5, 16)
    assert flux.adapter.preview_latents(state).shape == (1, 4, 10, 18)
    assert flux.adapter.native_size() == (512, 512)
