"""An image can leave the device in the middle of its steps and come back as if nothing had been."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from safelight_worker.pipelines.sd15 import Sd15Record
from tests.support.engines import Workbench, reference, same
from tests.support.exactness import FOR_SD


def stepped(runner: Any, state: Any, steps: int) -> None:
    for _ in range(steps):
        runner.tick([state], lambda *_: None)


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0], ids=["guided", "unguided"])
@pytest.mark.parametrize("scheduler", FOR_SD)
def test_a_state_goes_to_the_host_and_back_bit_for_bit(
    bench: Workbench, sd_folder: Path, scheduler: str, guidance_scale: float
) -> None:
    loaded = bench.load(sd_folder)
    runner = loaded.runner
    plan = bench.plan(sd_folder, scheduler=scheduler, guidance_scale=guidance_scale, num_inference_steps=5)
    with torch.inference_mode():
        state = runner.prepare(plan, runner.encode(plan), 7)
        stepped(runner, state, 3)
        kept = runner.to_host(state)
        # The original goes on, which must not reach the record.
        stepped(runner, state, state.steps - 3)
        back = runner.from_host(kept)
        assert back.step == 3
        stepped(runner, back, back.steps - 3)
        assert torch.equal(back.latents, state.latents)
        picture = runner.finish(plan, back)
    assert same(picture, reference(loaded.model.pipe, plan, 7))


def test_a_record_is_plain_enough_to_be_written(bench: Workbench, sd_folder: Path) -> None:
    runner = bench.load(sd_folder).runner
    plan = bench.plan(sd_folder, scheduler="SASolverScheduler")
    with torch.inference_mode():
        state = runner.prepare(plan, runner.encode(plan), 7)
        stepped(runner, state, 2)
        buffer = io.BytesIO()
        torch.save(runner.to_host(state), buffer)
        buffer.seek(0)
        kept = torch.load(buffer, weights_only=False)
        assert isinstance(kept, Sd15Record)
        back = runner.from_host(kept)
        stepped(runner, state, 1)
        stepped(runner, back, 1)
        assert torch.equal(back.latents, state.latents)


def test_a_record_shares_nothing_with_the_state(bench: Workbench, sd_folder: Path) -> None:
    runner = bench.load(sd_folder).runner
    plan = bench.plan(sd_folder)
    with torch.inference_mode():
        state = runner.prepare(plan, runner.encode(plan), 7)
        kept = runner.to_host(state)
        state.latents.zero_()
        state.conditions.positive.zero_()
        assert kept.latents.abs().sum() > 0
        assert kept.positive.abs().sum() > 0


def test_a_call_that_was_not_made_goes_to_the_host_too(bench: Workbench, sdxl_folder: Path) -> None:
    loaded = bench.load(sdxl_folder)
    plan = bench.plan(sdxl_folder, scheduler="EulerDiscreteScheduler")
    state = loaded.runner.from_host(loaded.runner.to_host(loaded.runner.prepare(plan, None, 7)))
    loaded.runner.tick([state], lambda *_: None)
    assert same(loaded.runner.finish(plan, state), reference(loaded.model.pipe, plan, 7))
