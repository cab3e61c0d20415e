"""Four families on one device at once: nobody's picture is changed by anybody else's family, size, steps or inputs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safelight_worker.types import Inputs, Plan, Task
from tests.support.engines import Workbench, reference, same
from tests.support.exactness import FOR_SD, TOLERANCE

FAMILIES = ("sd", "sdxl", "sd3", "flux")


def inputs_of(task: Task, pictures: Path, strength: float = 0.7) -> Inputs:
    if task is Task.TEXT_TO_IMAGE:
        return Inputs()
    mask = pictures / "mask.png" if task is Task.INPAINT else None
    return Inputs(init_image=pictures / "init.png", mask_image=mask, strength=strength)


def expected(bench: Workbench, plan: Plan) -> Any:
    """What diffusers' own call of the plan's task draws."""
    loaded = bench.load(Path(plan.model.source))
    return reference(loaded.runner._adapter.pipe(plan.inputs.task), plan)


@pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_folder_alone_is_bit_for_bit_diffusers_own_call(
    bench: Workbench, folders: dict[str, Path], pictures_folder: Path, family: str, task: Task
) -> None:
    plan = bench.plan(folders[family], num_inference_steps=5, inputs=inputs_of(task, pictures_folder))
    (picture,) = bench.run(plan)
    assert bench.load(folders[family]).runner.kind == "stepped"
    assert same(picture, expected(bench, plan))


@pytest.mark.parametrize("round_", range(3))
def test_twelve_mixed_requests_of_four_families_at_once_draw_what_each_draws_alone(
    bench: Workbench, folders: dict[str, Path], pictures_folder: Path, round_: int
) -> None:
    choice = random.Random(round_)
    plans = [
        bench.plan(
            folders[family],
            prompt=choice.choice(("a red circle", "blue and red", "ci", "!")),
            negative_prompt=choice.choice(("", "blue")),
            num_inference_steps=choice.randint(3, 7),
            guidance_scale=choice.choice((1.0, 3.5, 7.5)),
            scheduler=choice.choice(FOR_SD) if family in ("sd", "sdxl") else "",
            seeds=(choice.randrange(2**31),),
            priority=choice.randrange(4),
            width=choice.choice((64, 64, 96)),
            inputs=inputs_of(choice.choice(list(Task)), pictures_folder),
        )
        for family in FAMILIES * 3
    ]
    choice.shuffle(plans)
    together = bench.run_together(plans)
    worst = max(
        float(np.abs(picture - expected(bench, plan)).max()) for picture, plan in zip(together, plans, strict=True)
    )
    assert worst <= TOLERANCE
