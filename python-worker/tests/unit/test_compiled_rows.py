"""A compiled denoiser is compiled once per number of rows, so its forwards have few different ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.pipelines.loading import load
from safelight_worker.pipelines.loras import Loras
from safelight_worker.pipelines.registry import adapter_for
from safelight_worker.runners.model_placement import ModelPlacement
from safelight_worker.runners.row_caps import RowCaps
from safelight_worker.runners.stepped import SteppedRunner
from tests.support.engines import CPU, make_plan, spec


@pytest.mark.parametrize(("family", "rows"), [("sd", [2, 4, 8, 8, 16]), ("flux", [1, 2, 4, 4, 8])])
def test_rows_are_padded_to_powers_of_two(
    folders: dict[str, Path], tmp_path: Path, family: str, rows: list[int]
) -> None:
    model = load(spec(folders[family]), CPU)
    model = replace(model, spec=replace(model.spec, compile=True))
    adapter = adapter_for(model)
    assert adapter is not None
    modules = {name: each for name, each in model.pipe.components.items() if isinstance(each, torch.nn.Module)}
    placement = ModelPlacement(modules, CPU, adapter.phases())
    runner = SteppedRunner(model, adapter, RowCaps("here", None, MemoryProbe(CPU)), placement, Loras(model.pipe))
    seen: list[int] = []
    adapter.module.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(args[0] if args else kwargs["hidden_states"])), with_kwargs=True
    )
    plan = make_plan(folders[family], tmp_path, num_inference_steps=1)
    with torch.inference_mode():
        conditions = runner.encode(plan)
        for images in range(1, 6):
            states = [runner.prepare(plan, conditions, seed) for seed in range(images)]
            runner.tick(states, lambda *_: None)
            assert all(state.step == 1 for state in states)
    assert seen == rows
