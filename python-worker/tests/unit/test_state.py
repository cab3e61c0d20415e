"""An image can leave the device in the middle of its steps and come back as if nothing had been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

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
        back = runner.from_host(plan, kept)
        assert back.step == 3
        stepped(runner, back, back.steps - 3)
        assert torch.equal(back.latents, state.latents)
        picture = runner.finish(plan, back).output
    assert same(picture, reference(loaded.model.pipe, plan, 7))


def test_a_record_shares_nothing_with_the_state(bench: Workbench, sd_folder: Path) -> None:
    runner = bench.load(sd_folder).runner
    plan = bench.plan(sd_folder)
    with torch.inference_mode():
        state = runner.prepare(plan, runner.encode(plan), 7)
        kept = runner.to_host(state)
        state.latents.zero_()
        state.branches["positive"]["encoder_hidden_states"].zero_()
        assert kept["latents"].abs().sum() > 0
        assert kept["branches"]["positive"]["encoder_hidden_states"].abs().sum() > 0
