"""Stable Diffusion 3 step by step is what its pipelines draw: alone, in company, and after a stay on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    SD3Transformer2DModel,
    UniPCMultistepScheduler,
)

from safelight_worker.pipelines.sd3 import Sd3Adapter
from safelight_worker.types import Task
from tests.support import tiny
from tests.support.engines import Workbench, same
from tests.support.exactness import TOLERANCE
from tests.support.flow_families import FlowFamily, through_the_engine

GUIDANCE = pytest.mark.parametrize("guidance_scale", [5.0, 1.0], ids=["guided", "unguided"])
TASKS = pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)
SIZES = [(64, 64), (32, 64), (64, 32), (72, 40), (8, 8)]


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> FlowFamily:
    return FlowFamily(Sd3Adapter, tiny.sd3(), tmp_path_factory.mktemp("sd3"))


@pytest.fixture(scope="module")
def shifted(sd3: FlowFamily) -> FlowFamily:
    """The same modules; the schedule follows the size."""
    return sd3.with_parts(
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_image_seq_len=16, max_image_seq_len=256
        )
    )


@GUIDANCE
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_one_image_alone_is_what_pipe_draws(sd3: FlowFamily, width: int, height: int, guidance_scale: float) -> None:
    plan = sd3.plan(width=width, height=height, guidance_scale=guidance_scale)
    picture = sd3.alone(plan)
    assert picture.shape == (height, width, 3)
    assert same(picture, sd3.reference(plan))


@pytest.mark.parametrize("negative", ["blue", "a much longer thing that nobody wants to see"])
def test_negative_prompts_are_what_pipe_makes_of_them(sd3: FlowFamily, negative: str) -> None:
    plan = sd3.plan(negative_prompt=negative)
    assert same(sd3.alone(plan), sd3.reference(plan))
    assert not same(sd3.alone(plan), sd3.alone(sd3.plan()))


@GUIDANCE
@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("task", [Task.IMAGE_TO_IMAGE, Task.INPAINT], ids=lambda task: task.value)
def test_a_picture_to_start_from_is_what_pipe_makes_of_it(
    sd3: FlowFamily, task: Task, strength: float, guidance_scale: float
) -> None:
    plan = sd3.plan(task, strength, guidance_scale=guidance_scale, num_inference_steps=5, width=72, height=40)
    assert same(sd3.alone(plan), sd3.reference(plan))


@pytest.mark.parametrize("shift", [1.0, 7.5])
@TASKS
def test_the_option_of_the_scheduler_is_what_pipe_makes_of_it(sd3: FlowFamily, task: Task, shift: float) -> None:
    plan = sd3.plan(task, scheduler="FlowMatchEulerDiscreteScheduler", scheduler_options={"shift": shift})
    assert same(sd3.alone(plan), sd3.reference(plan))
    assert not same(sd3.alone(plan), sd3.alone(sd3.plan(task)))


@TASKS
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_schedule_that_follows_the_size_is_what_pipe_makes_of_it(
    shifted: FlowFamily, task: Task, width: int, height: int
) -> None:
    plan = shifted.plan(task, width=width, height=height)
    assert same(shifted.alone(plan), shifted.reference(plan))


def test_larger_pictures_stay_longer_in_the_noise(shifted: FlowFamily) -> None:
    small, large = (shifted.begin(shifted.plan(width=side, height=side)) for side in (16, 64))
    assert bool((large.timesteps[1:] > small.timesteps[1:]).all())


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchHeunDiscreteScheduler(shift=3.0),
        UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0),
    ],
    ids=["heun", "unipc"],
)
def test_a_model_with_a_scheduler_of_another_class_is_drawn_with_that(sd3: FlowFamily, scheduler: Any) -> None:
    other = sd3.with_parts(scheduler=scheduler)
    plan = other.plan(num_inference_steps=5)
    assert same(other.alone(plan), other.reference(plan))
    assert same(other.after_a_stay_on_the_host(plan, 2), other.reference(plan))


@pytest.mark.parametrize("task", [Task.IMAGE_TO_IMAGE, Task.INPAINT], ids=lambda task: task.value)
def test_a_scheduler_of_second_order_starts_from_pictures_too(sd3: FlowFamily, task: Task) -> None:
    heun: Any = FlowMatchHeunDiscreteScheduler(shift=3.0)
    other = sd3.with_parts(scheduler=heun)
    plan = other.plan(task, num_inference_steps=5)
    # Of five steps the strength leaves three: two ticks each, and one for the last.
    assert other.begin(plan).steps == 5
    assert same(other.alone(plan), other.reference(plan))
    assert same(other.after_a_stay_on_the_host(plan, 2), other.reference(plan))


def test_noise_added_between_steps_comes_from_the_seed(sd3: FlowFamily) -> None:
    noisy = sd3.with_parts(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, stochastic_sampling=True))
    plan = noisy.plan()
    assert same(noisy.alone(plan), noisy.alone(plan))
    assert not same(noisy.alone(plan), sd3.alone(sd3.plan()))


@GUIDANCE
def test_a_model_without_t5_is_what_pipe_draws(tmp_path: Path, guidance_scale: float) -> None:
    two = FlowFamily(Sd3Adapter, tiny.sd3(t5=False), tmp_path)
    plan = two.plan(guidance_scale=guidance_scale)
    assert same(two.alone(plan), two.reference(plan))


@GUIDANCE
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_transformer_told_mask_and_picture_is_what_pipe_draws(
    sd3: FlowFamily, strength: float, guidance_scale: float
) -> None:
    painter = sd3.with_parts(transformer=wide_transformer(sd3))
    plan = painter.plan(Task.INPAINT, strength, guidance_scale=guidance_scale)
    assert same(painter.alone(plan), painter.reference(plan))


@pytest.mark.parametrize(("task", "field"), [(Task.TEXT_TO_IMAGE, "init_image"), (Task.IMAGE_TO_IMAGE, "mask_image")])
def test_a_transformer_told_mask_and_picture_needs_both(sd3: FlowFamily, task: Task, field: str) -> None:
    painter = sd3.with_parts(transformer=wide_transformer(sd3))
    assert painter.refusal(painter.plan(task)).field == field


def wide_transformer(sd3: FlowFamily) -> Any:
    torch.manual_seed(1)
    wide: Any = SD3Transformer2DModel.from_config(sd3.pipe.transformer.config, in_channels=16 + 1 + 16)
    return wide.eval()


@pytest.mark.parametrize(("width", "height", "field"), [(60, 64, "width"), (64, 60, "height")])
def test_a_size_of_broken_patches_is_refused(sd3: FlowFamily, width: int, height: int, field: str) -> None:
    error = sd3.refusal(sd3.plan(width=width, height=height))
    assert error.field == field
    assert f"{field} is 60" in error.message
    assert "multiples of 8" in error.message


def test_a_size_beyond_the_positions_is_refused(sd3: FlowFamily) -> None:
    largest = sd3.plan(width=192, height=8, num_inference_steps=1)
    assert same(sd3.alone(largest), sd3.reference(largest))
    error = sd3.refusal(sd3.plan(width=8, height=200))
    assert error.field == "height"
    assert "192" in error.message


@pytest.mark.parametrize("task", [Task.IMAGE_TO_IMAGE, Task.INPAINT], ids=lambda task: task.value)
def test_a_strength_that_leaves_no_step_is_refused(sd3: FlowFamily, task: Task) -> None:
    assert sd3.refusal(sd3.plan(task, 0.0)).field == "strength"


def test_a_scheduler_that_cannot_noise_a_picture_is_refused(sd3: FlowFamily) -> None:
    flow = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    other = sd3.with_parts(scheduler=flow)
    assert other.refusal(other.plan(Task.IMAGE_TO_IMAGE)).field == "init_image"


def test_requests_interleaved_step_by_step_draw_what_each_draws_alone(shifted: FlowFamily) -> None:
    plans = shifted.mixed(SIZES, 12)
    pictures = shifted.interleaved(plans)
    assert all(same(picture, shifted.reference(plan)) for plan, picture in zip(plans, pictures, strict=True))


@pytest.mark.parametrize("sizes", [[(64, 64)], SIZES], ids=["one size", "many sizes"])
def test_requests_that_share_forwards_draw_what_each_draws_alone(
    shifted: FlowFamily, sizes: list[tuple[int, int]]
) -> None:
    plans = shifted.mixed(sizes, 10)
    together = shifted.together(plans)
    apart = [np.abs(one - shifted.reference(plan)).max() for plan, one in zip(plans, together, strict=True)]
    assert max(apart) <= TOLERANCE


def test_only_equal_shapes_are_of_one_kind(sd3: FlowFamily) -> None:
    plans = [sd3.plan(width=width, height=height) for width, height in SIZES]
    assert len({sd3.begin(plan).kind for plan in plans}) == len(SIZES)
    others = [sd3.plan(task, prompt="blue", guidance_scale=1.0, num_inference_steps=2) for task in Task]
    assert {sd3.begin(plan).kind for plan in others} == {sd3.begin(plans[0]).kind}


@TASKS
@pytest.mark.parametrize("at", [1, 3, 5])
@GUIDANCE
def test_a_state_goes_to_the_host_and_back_bit_for_bit(
    shifted: FlowFamily, task: Task, at: int, guidance_scale: float
) -> None:
    plan = shifted.plan(task, 1.0, guidance_scale=guidance_scale, num_inference_steps=5)
    assert same(shifted.after_a_stay_on_the_host(plan, at), shifted.reference(plan))


def test_in_forwards_of_fixed_size_company_changes_no_bit(shifted: FlowFamily) -> None:
    plans = shifted.mixed([(64, 64)], 4)
    alone = {plan.attempt_id: shifted.padded([plan], 8)[0] for plan in plans}
    for company in (plans, plans[::-1], plans[1:3]):
        latents = shifted.padded(company, 8)
        assert all(torch.equal(alone[plan.attempt_id], one) for plan, one in zip(company, latents, strict=True))


def test_in_half_precision_too_one_image_alone_is_what_pipe_draws(tmp_path: Path) -> None:
    half = FlowFamily(Sd3Adapter, tiny.sd3().to(torch.bfloat16), tmp_path)
    plans = [half.plan(task) for task in Task]
    assert all(same(half.alone(plan), half.reference(plan)) for plan in plans)


def test_through_the_engine_too_pictures_are_what_pipe_draws(bench: Workbench, sd3: FlowFamily, tmp_path: Path) -> None:
    folder = tmp_path / "sd3"
    sd3.pipe.save_pretrained(folder)
    assert max(through_the_engine(bench, sd3, folder, sd3.mixed(SIZES, 10))) <= TOLERANCE
    assert through_the_engine(bench, sd3, folder, [sd3.plan(task, solo=True) for task in Task]) == [0.0] * len(Task)


def test_a_preview_has_the_layout_of_the_picture(sd3: FlowFamily) -> None:
    state = sd3.begin(sd3.plan(width=72, height=40))
    assert sd3.adapter.preview_latents(state).shape == (1, 16, 10, 18)
    assert sd3.adapter.native_size() == (64, 64)
