"""A picture is the one that ``pipe()`` draws: bit for bit alone, within a stated tolerance in company."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from safelight_worker.types import Plan
from tests.support.engines import Workbench, reference, same
from tests.support.exactness import CHANGED_BYTES, FOR_SD, TOLERANCE

PROMPTS = ("a red circle", "blue and red", "ci", "a long line of words and circles and words", "!")


def test_draws_the_default_of_the_server_with_karras_sigmas(bench: Workbench, sd_folder: Path) -> None:
    plan = bench.plan(sd_folder)
    (picture,) = bench.run(plan)
    assert same(picture, reference(bench.load(sd_folder).model.pipe, plan))
    plain = reference(bench.load(sd_folder).model.pipe, plan, options={"use_karras_sigmas": False})
    assert not same(picture, plain)


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0], ids=["guided", "unguided"])
@pytest.mark.parametrize("scheduler", FOR_SD)
def test_one_image_alone_is_what_pipe_draws(
    bench: Workbench, sd_folder: Path, scheduler: str, guidance_scale: float
) -> None:
    plan = bench.plan(sd_folder, scheduler=scheduler, guidance_scale=guidance_scale, num_inference_steps=5)
    (picture,) = bench.run(plan)
    assert same(picture, reference(bench.load(sd_folder).model.pipe, plan))


@pytest.mark.parametrize(("width", "height"), [(64, 64), (32, 64), (72, 40), (8, 8)])
def test_any_size_is_what_pipe_draws(bench: Workbench, sd_folder: Path, width: int, height: int) -> None:
    plan = bench.plan(sd_folder, width=width, height=height)
    (picture,) = bench.run(plan)
    assert picture.shape == (height, width, 3)
    assert same(picture, reference(bench.load(sd_folder).model.pipe, plan))


@pytest.mark.parametrize("negative", ["", "blue", "a much longer thing that nobody wants to see"])
def test_negative_prompts_are_what_pipe_makes_of_them(bench: Workbench, sd_folder: Path, negative: str) -> None:
    plan = bench.plan(sd_folder, negative_prompt=negative)
    (picture,) = bench.run(plan)
    assert same(picture, reference(bench.load(sd_folder).model.pipe, plan))


def test_each_image_of_an_attempt_is_what_pipe_draws_for_its_seed(bench: Workbench, sd_folder: Path) -> None:
    bench.cap = 1
    try:
        plan = bench.plan(sd_folder, seeds=(11, 12, 13), scheduler="EulerAncestralDiscreteScheduler")
        pictures = bench.run(plan)
    finally:
        bench.cap = 8
    pipe = bench.load(sd_folder).model.pipe
    assert [same(picture, reference(pipe, plan, seed)) for picture, seed in zip(pictures, plan.seeds, strict=True)] == [
        True,
        True,
        True,
    ]
    assert not same(pictures[0], pictures[1])


def test_solo_in_a_crowd_is_bit_for_bit_what_pipe_draws(bench: Workbench, sd_folder: Path) -> None:
    crowd = [bench.plan(sd_folder, seeds=(seed,), num_inference_steps=6) for seed in range(6)]
    alone = bench.plan(sd_folder, solo=True, seeds=(99,), scheduler="DDPMScheduler", num_inference_steps=6)
    *_, picture = bench.run_together([*crowd, alone])
    assert same(picture, reference(bench.load(sd_folder).model.pipe, alone))


def _mixed(bench: Workbench, folder: Path, count: int) -> list[Plan]:
    """Plans that differ in everything a request may differ in but the shape."""
    choice = random.Random(count)
    return [
        bench.plan(
            folder,
            prompt=choice.choice(PROMPTS),
            negative_prompt=choice.choice(("", "blue")),
            num_inference_steps=choice.randint(2, 7),
            scheduler=choice.choice(FOR_SD),
            guidance_scale=choice.choice((1.0, 2.0, 7.5)),
            seeds=(choice.randrange(2**63),),
            priority=choice.randrange(4),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("count", [4, 10, 50])
def test_overlapping_requests_draw_what_each_draws_alone(bench: Workbench, sd_folder: Path, count: int) -> None:
    plans = _mixed(bench, sd_folder, count)
    together = bench.run_together(plans)
    pipe = bench.load(sd_folder).model.pipe
    alone = [reference(pipe, plan) for plan in plans]
    worst = max(float(np.abs(one - other).max()) for one, other in zip(together, alone, strict=True))
    assert worst <= TOLERANCE
    bytes_apart = [np.abs((a * 255).round() - (b * 255).round()) for a, b in zip(together, alone, strict=True)]
    assert max(apart.max() for apart in bytes_apart) <= 1
    assert np.mean([np.mean(apart > 0) for apart in bytes_apart]) < CHANGED_BYTES
