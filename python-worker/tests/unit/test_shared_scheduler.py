"""The failure this worker exists for: one scheduler, or one pipeline, called by several threads. And its end."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler, StableDiffusionPipeline

from safelight_worker.runners.request_view import fresh_scheduler, request_view
from tests.support import tiny
from tests.support.engines import CPU, PATIENCE, Workbench, reference, same

STEPS = 20
THREADS = 4

Outcome = np.ndarray | BaseException


def in_threads(call: Callable[[int], Any], count: int) -> list[Any]:
    """What the calls return or raise when they begin at once."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        if number < THREADS:
            start.wait(PATIENCE)
        torch.set_num_threads(1)
        try:
            return call(number)
        except Exception as error:  # noqa: BLE001  what it is, is the question
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(count)))


def test_one_shared_scheduler_fails_or_draws_wrong() -> None:
    """Interleaved by hand, as threads would interleave it; the threads below do it for real."""
    pristine = DPMSolverMultistepScheduler(use_karras_sigmas=True)
    shared = copy.deepcopy(pristine)
    sample = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    shared.set_timesteps(3)
    timesteps = shared.timesteps
    shared.set_timesteps(3)

    def interleaved() -> None:
        for t in timesteps:
            shared.step(sample * 0.1, t, sample)
            shared.step(sample * 0.1, t, sample)

    with pytest.raises(IndexError, match="out of bounds"):
        interleaved()
    # The twin: each with a scheduler of its own.
    one, other = fresh_scheduler(pristine), fresh_scheduler(pristine)
    one.set_timesteps(3)
    other.set_timesteps(3)
    for t in one.timesteps:
        assert torch.equal(one.step(sample * 0.1, t, sample)[0], other.step(sample * 0.1, t, sample)[0])


def _draw(pipe: DiffusionPipeline, seed: int) -> np.ndarray:
    made = pipe(
        "a red circle",
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
        height=64,
        width=64,
    )
    picture: np.ndarray = made.images[0]
    return picture


def test_one_pipeline_shared_by_threads_fails_and_its_views_do_not(bench: Workbench, sd_folder: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(sd_folder)
    pipe.set_progress_bar_config(disable=True)
    torch.set_num_threads(1)
    alone = [_draw(request_view(pipe, CPU), seed) for seed in range(8)]

    shared = copy.copy(pipe)
    shared.scheduler = fresh_scheduler(pipe.scheduler)
    outcomes: list[Outcome] = []
    # A race may be won once by luck, not five times.
    for _ in range(5):
        outcomes = in_threads(lambda seed: _draw(shared, seed), 8)
        if any(isinstance(outcome, IndexError) for outcome in outcomes):
            break
    assert any(isinstance(outcome, IndexError) for outcome in outcomes), outcomes
    right = [isinstance(made, np.ndarray) and same(made, wanted) for made, wanted in zip(outcomes, alone, strict=True)]
    assert not all(right)

    views = in_threads(lambda seed: _draw(request_view(pipe, CPU), seed), 8)
    assert all(same(made, wanted) for made, wanted in zip(views, alone, strict=True))


@pytest.mark.parametrize("family", sorted(tiny.BUILDERS))
def test_the_engine_draws_what_each_of_many_threads_asked_for(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    folder = folders[family]
    pipe = bench.load(folder).model.pipe
    scheduler = "EulerDiscreteScheduler" if family == "sdxl" else ""
    plans = [
        bench.plan(folder, seeds=(seed,), num_inference_steps=3 + seed % 4, scheduler=scheduler, solo=True)
        for seed in range(8)
    ]
    outcomes = in_threads(lambda number: bench.submit(plans[number]).succeeded(), len(plans))
    assert [error for error in outcomes if isinstance(error, BaseException)] == []
    for plan in plans:
        assert same(bench.pictures[plan.attempt_id][0], reference(pipe, plan))
