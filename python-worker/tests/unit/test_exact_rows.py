"""Same seed, same bits: an exact picture does not depend on who is with it, on order, or on having left the device."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safelight_worker.engine.events import StepFinished, Suspended
from safelight_worker.types import Inputs, Plan
from tests.support.engines import EXACT_IMAGES, Workbench, reference, same
from tests.support.exactness import FOR_SD, TOLERANCE
from tests.support.gates import held

FAMILIES = ("sd", "sdxl", "sd3", "flux")
FLOW = ("sd3", "flux")
CASES = [(family, scheduler) for family in FAMILIES for scheduler in ([""] if family in FLOW else FOR_SD)]


def companions(bench: Workbench, family: str, folder: Path, pictures: Path, count: int) -> list[Plan]:
    """Plans that differ in all they may differ in."""
    choice = random.Random(count)
    return [
        bench.plan(
            folder,
            prompt=choice.choice(("blue and red", "ci", "!")),
            num_inference_steps=choice.randint(2, 7),
            scheduler="" if family in FLOW else choice.choice(FOR_SD),
            guidance_scale=choice.choice((1.0, 7.5)),
            seeds=(choice.randrange(2**31),),
            priority=choice.randrange(4),
            exact=choice.random() < 0.3,
            inputs=choice.choice((Inputs(), Inputs(init_image=pictures / "init.png", strength=0.8))),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(("family", "scheduler"), CASES)
def test_the_bits_are_the_same_alone_in_any_company_and_in_any_order(
    bench: Workbench, folders: dict[str, Path], pictures_folder: Path, family: str, scheduler: str
) -> None:
    folder = folders[family]
    exact: dict[str, Any] = {"exact": True, "scheduler": scheduler, "num_inference_steps": 5}
    (alone,) = bench.run(bench.plan(folder, **exact))
    others = companions(bench, family, folder, pictures_folder, 6)
    first, *_ = bench.run_together([bench.plan(folder, **exact), *others])
    others = companions(bench, family, folder, pictures_folder, 3)
    *_, last = bench.run_together([*others, bench.plan(folder, **exact, priority=3)])
    assert same(alone, first)
    assert same(alone, last)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_exact_company_changes_bits_which_is_why_it_exists(
    bench: Workbench, folders: dict[str, Path], pictures_folder: Path, family: str
) -> None:
    plan = bench.plan(folders[family], num_inference_steps=5)
    (alone,) = bench.run(plan)
    others = companions(bench, family, folders[family], pictures_folder, 6)
    first, *_ = bench.run_together([bench.plan(folders[family], num_inference_steps=5), *others])
    assert np.abs(alone - first).max() <= TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_the_rows_are_told_and_are_those_of_the_forwards(
    fresh_bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    loaded = fresh_bench.load(folders[family])
    seen: list[int] = []
    module = loaded.runner._adapter.module
    hook = module.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(args[0] if args else kwargs["hidden_states"])), with_kwargs=True
    )
    try:
        told = fresh_bench.submit(fresh_bench.plan(folders[family], exact=True)).succeeded().effective
        plain = fresh_bench.submit(fresh_bench.plan(folders[family])).succeeded().effective
    finally:
        hook.remove()
    rows = EXACT_IMAGES * (1 if family == "flux" else 2)
    assert told.exact_rows == rows
    assert plain.exact_rows == 0
    # Before its four steps company is tried out; after them the plain request takes four of its own size.
    assert set(seen[:-4]) == {rows}
    assert len(seen) >= 8
    assert max(seen[-4:]) < rows


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exact_picture_is_the_one_pipe_draws_within_the_tolerance(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    plan = bench.plan(folders[family], exact=True)
    (picture,) = bench.run(plan)
    assert np.abs(picture - reference(bench.load(folders[family]).model.pipe, plan)).max() <= TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bits_are_the_same_after_a_suspension_in_company(
    fresh_bench: Workbench, folders: dict[str, Path], pictures_folder: Path, family: str
) -> None:
    bench, folder = fresh_bench, folders[family]
    plan = bench.plan(folder, exact=True, num_inference_steps=6)
    (alone,) = bench.run(plan)
    plan = bench.plan(folder, exact=True, num_inference_steps=6)
    with held(bench.load(folder).runner, "tick", lambda states, *_: states[0].step == 3) as gate:
        watcher = bench.submit(plan)
        gate.wait_reached()
        bench.engine.suspend(plan.attempt_id)
    ended = watcher.end()
    assert isinstance(ended, Suspended)
    assert ended.checkpoint is not None
    others = companions(bench, family, folder, pictures_folder, 4)
    resumed = bench.plan(
        folder, exact=True, num_inference_steps=6, resume_from=plan.staging_dir / ended.checkpoint.file_name
    )
    *_, picture = bench.run_together([*others, resumed])
    assert same(alone, picture)


def test_an_exact_request_in_a_small_forward_waits_for_no_company(bench: Workbench, sd_folder: Path) -> None:
    watcher = bench.submit(bench.plan(sd_folder, exact=True, max_images=1))
    assert watcher.succeeded().effective.max_batch_images == 1
    assert len(watcher.of(StepFinished)) == 4


def test_where_company_changes_bits_an_exact_request_has_forwards_of_its_own(
    fresh_bench: Workbench, sd_folder: Path
) -> None:
    runner = fresh_bench.load(sd_folder).runner
    predict = runner._adapter.predict

    def depends_on_its_neighbours(states: Any, rows: int = 0) -> Any:
        # As a kernel may that splits its sums by what else there is.
        return [each + (len(states) - 1) * 1e-3 for each in predict(states, rows)]

    with held(runner, "tick") as gate:
        runner._adapter.predict = depends_on_its_neighbours
        watchers = [fresh_bench.submit(fresh_bench.plan(sd_folder, exact=True, seeds=(seed,))) for seed in range(3)]
        watchers += [fresh_bench.submit(fresh_bench.plan(sd_folder, seeds=(seed,))) for seed in range(3)]
        gate.open()
        told = [watcher.succeeded().effective for watcher in watchers]
    assert [each.max_batch_images for each in told[:3]] == [1, 1, 1]
    assert [each.exact_rows for each in told[:3]] == [EXACT_IMAGES * 2] * 3
    assert max(each.max_batch_images for each in told[3:]) > 1
