"""Taking attempts off the device in the middle, and going on with them elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from safelight_worker.engine.events import Checkpointed, Suspended
from safelight_worker.runners.attempt_record import AttemptRecord, read_states
from safelight_worker.runners.loaded import LoadedRunner
from safelight_worker.runners.outputs import Picture
from safelight_worker.types import Plan
from tests.support.engines import Workbench, make_plan
from tests.support.gates import held


def again(plan: Plan, folder: Path, **changes: Any) -> Plan:
    """The same request as an attempt of its own."""
    fresh = make_plan(Path(plan.model.source), folder)
    return replace(plan, attempt_id=fresh.attempt_id, staging_dir=fresh.staging_dir, **changes)


def suspended(bench: Workbench, plan: Plan, step: int) -> Suspended:
    """How an attempt ends that is suspended while it takes its ``step``-th step."""
    runner = bench.load(Path(plan.model.source), plan.model.id).runner_for(plan)
    with held(runner, "tick", lambda states, *_: states[0].step == step - 1) as gate:
        watcher = bench.submit(plan)
        gate.wait_reached()
        assert bench.engine.suspend(plan.attempt_id)
    ended = watcher.end()
    assert isinstance(ended, Suspended), ended
    return ended


def file_of(plan: Plan, checkpoint: Checkpointed | None) -> Path:
    """Where a checkpoint lies."""
    assert checkpoint is not None
    file = plan.staging_dir / checkpoint.file_name
    assert file.stat().st_size == checkpoint.size_bytes
    return file


def resumed(bench: Workbench, plan: Plan, checkpoint: Path) -> list[Picture]:
    """The pictures of a plan that goes on from a checkpoint."""
    return bench.run(again(plan, bench.folder, resume_from=checkpoint))


# ---------------------------------------------------------------- without an engine


def begin(loaded: LoadedRunner, plan: Plan) -> list[Any]:
    """States at step 0."""
    runner = loaded.runner_for(plan)
    with torch.inference_mode():
        conditions = runner.encode(plan)
        return [runner.prepare(plan, conditions, seed) for seed in plan.seeds]


def finish(
    loaded: LoadedRunner, plan: Plan, states: list[Any], after_step: Callable[[int], None] = lambda _: None
) -> list[Any]:
    """The outputs after the steps that are left."""
    runner = loaded.runner_for(plan)
    with torch.inference_mode():
        while states[0].step < states[0].steps:
            runner.tick(states, lambda *_: None)
            after_step(states[0].step)
        return [runner.finish(plan, state).output for state in states]


def kept_at(loaded: LoadedRunner, plan: Plan) -> tuple[list[Any], dict[int, Path]]:
    """The outputs of a plan that is not interrupted, and the checkpoints written on its way, by step."""
    states = begin(loaded, plan)
    files: dict[int, Path] = {}

    def keep(step: int) -> None:
        files[step] = plan.staging_dir / f"{step}.safetensors"
        record = AttemptRecord.of(loaded, plan, states)
        assert record.step == step
        assert record.write(files[step]) == files[step].stat().st_size

    return finish(loaded, plan, states, keep), files


def gone_on(loaded: LoadedRunner, plan: Plan, checkpoint: Path) -> list[Any]:
    """The outputs of a plan that goes on from a checkpoint."""
    with torch.inference_mode():
        states = read_states(loaded, replace(plan, resume_from=checkpoint))
    return finish(loaded, plan, states)
