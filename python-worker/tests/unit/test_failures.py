"""What goes wrong for one attempt goes wrong for that one alone, and is told as data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from safelight_worker.engine import delivery
from safelight_worker.engine.models import ModelStore
from safelight_worker.engine.saving import save
from safelight_worker.runners.runner import Finished
from safelight_worker.types import FailureKind, Phase
from tests.support.engines import CPU, Workbench, reference, same
from tests.support.exactness import TOLERANCE
from tests.support.gates import held, replaced

OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total capacity of 8 GiB"


def raising(error: Exception, when: Callable[[list[Any]], bool]) -> Callable[[Any], Any]:
    """Makes a ``predict`` that raises for some states."""

    def make(predict: Any) -> Any:
        def run(states: Any, rows: int = 0) -> Any:
            if when(list(states)):
                raise error
            return predict(states, rows)

        return run

    return make


def is_of(seed: int, from_step: int = 0) -> Callable[[list[Any]], bool]:
    return lambda states: any(s.generator.initial_seed() == seed and s.step >= from_step for s in states)


@pytest.mark.parametrize("step", [0, 1, 3])
def test_a_batch_too_large_for_memory_is_halved_and_draws_the_same(
    fresh_bench: Workbench, sd_folder: Path, step: int
) -> None:
    loaded = fresh_bench.load(sd_folder)
    sizes: list[int] = []

    def short_of_memory(states: list[Any]) -> bool:
        sizes.append(len(states))
        return len(states) > 1 and states[0].step == step

    plan = fresh_bench.plan(sd_folder, seeds=(1, 2, 3, 4))
    with replaced(loaded.runner._adapter, "predict", raising(torch.OutOfMemoryError(OUT_OF_MEMORY), short_of_memory)):
        fresh_bench.submit(plan).succeeded()
    assert {4, 2, 1} == set(sizes)
    for picture, seed in zip(fresh_bench.pictures[plan.attempt_id], plan.seeds, strict=True):
        assert np.abs(picture - reference(loaded.model.pipe, plan, seed)).max() <= TOLERANCE


def test_one_image_too_large_for_memory_fails_with_phase_and_step_while_others_finish(
    fresh_bench: Workbench, sd_folder: Path
) -> None:
    loaded = fresh_bench.load(sd_folder)
    plans = [fresh_bench.plan(sd_folder, seeds=(seed,)) for seed in (1, 13, 3)]
    error = torch.OutOfMemoryError(OUT_OF_MEMORY)
    with replaced(loaded.runner._adapter, "predict", raising(error, is_of(13, from_step=2))):
        first, victim, third = (fresh_bench.submit(plan) for plan in plans)
        first.succeeded()
        third.succeeded()
        failed = victim.failed()
    assert (failed.kind, failed.phase, failed.step) == (FailureKind.DEVICE_OUT_OF_MEMORY, Phase.DENOISE, 2)
    assert failed.requested_bytes == 2 << 20
    assert failed.free_bytes > 0
    picture = fresh_bench.pictures[plans[0].attempt_id][0]
    assert np.abs(picture - reference(loaded.model.pipe, plans[0])).max() <= TOLERANCE


def test_a_defect_in_one_member_of_a_batch_fails_that_one_alone(fresh_bench: Workbench, sd_folder: Path) -> None:
    loaded = fresh_bench.load(sd_folder)
    with replaced(loaded.runner._adapter, "predict", raising(RuntimeError("boom"), is_of(13))):
        watchers = [fresh_bench.submit(fresh_bench.plan(sd_folder, seeds=(seed,))) for seed in (1, 13, 3, 4)]
        failed = watchers.pop(1).failed()
        for watcher in watchers:
            watcher.succeeded()
    assert failed.kind is FailureKind.INTERNAL
    assert "boom" in failed.message
    assert "Traceback" in failed.detail


def test_a_step_that_breaks_off_leaves_the_state_as_before(fresh_bench: Workbench, sd_folder: Path) -> None:
    loaded = fresh_bench.load(sd_folder)
    runner = loaded.runner
    plan = fresh_bench.plan(
        sd_folder,
        scheduler="DPMSolverMultistepScheduler",
        scheduler_options={"algorithm_type": "sde-dpmsolver++"},
    )

    def breaking(apply: Any) -> Any:
        def run(state: Any, predicted: Any) -> Any:
            apply(state, predicted)
            raise RuntimeError("after the scheduler has moved on")

        return run

    with torch.inference_mode():
        state = runner.prepare(plan, runner.encode(plan), 7)
        runner.tick([state], lambda *_: None)
        before = runner.to_host(state)
        with replaced(runner._adapter, "apply", breaking), pytest.raises(RuntimeError, match="moved on"):
            runner.tick([state], lambda *_: None)
        after = runner.to_host(state)
        assert after["step"] == before["step"] == 1
        assert torch.equal(after["latents"], before["latents"])
        assert torch.equal(after["generator"], before["generator"])
        assert after["scheduler"]["fields"].keys() == before["scheduler"]["fields"].keys()
        assert repr(after["scheduler"]["fields"]) == repr(before["scheduler"]["fields"])
        while state.step < state.steps:
            runner.tick([state], lambda *_: None)
        picture = runner.finish(plan, state).output
    assert same(picture, reference(loaded.model.pipe, plan, 7))


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.full((64, 64, 3), np.nan, np.float32), "NaN"),
        (np.zeros((64, 64, 3), np.float32), "flat"),
        (np.full((64, 64, 3), 0.1, np.float32), "flat"),
    ],
    ids=["NaN", "black", "grey"],
)
def test_a_picture_that_shows_nothing_is_rejected_and_not_kept(
    fresh_bench: Workbench, sd_folder: Path, picture: Any, reason: str
) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder, seeds=(1, 2))
    made: list[Any] = []

    def second_is_bad(finish: Any) -> Any:
        def run(plan: Any, state: Any) -> Any:
            made.append(finish(plan, state))
            return made[-1] if len(made) == 1 else Finished(picture)

        return run

    with replaced(runner, "finish", second_is_bad):
        failed = fresh_bench.submit(plan).failed()
    assert (failed.kind, failed.phase) == (FailureKind.REJECTED_OUTPUT, Phase.VALIDATE)
    assert reason in failed.message
    assert list(plan.staging_dir.iterdir()) == []


def test_a_disk_that_fails_leaves_no_file(
    fresh_bench: Workbench, sd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save

    def full(picture: Any, *, index: int, **named: Any) -> Any:
        if index == 1:
            raise OSError(28, "No space left on device")
        return saved(picture, index=index, **named)

    monkeypatch.setattr(delivery, "save", full)
    plan = fresh_bench.plan(sd_folder, seeds=(1, 2))
    failed = fresh_bench.submit(plan).failed()
    assert (failed.kind, failed.phase) == (FailureKind.INTERNAL, Phase.SAVE)
    assert list(plan.staging_dir.iterdir()) == []


def test_an_unknown_folder_is_model_unavailable_and_others_go_on(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with held(runner, "tick") as gate:
        good = fresh_bench.submit(fresh_bench.plan(sd_folder))
        gate.wait_reached()
        bad = fresh_bench.submit(fresh_bench.plan(sd_folder.parent / "nowhere"))
        gate.open()
        failed = bad.failed()
        good.succeeded()
    assert (failed.kind, failed.phase) == (FailureKind.MODEL_UNAVAILABLE, Phase.LOAD)


@pytest.mark.parametrize("damage", ["cut short", "missing", "no class"])
def test_a_damaged_model_is_model_unavailable_and_harms_no_other(
    fresh_bench: Workbench, sd_folder: Path, tmp_path: Path, damage: str
) -> None:
    broken = shutil.copytree(sd_folder, tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    if damage == "cut short":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "missing":
        weights.unlink()
    else:
        (broken / "model_index.json").write_text('{"_class_name": "NoSuchPipeline"}')
    assert fresh_bench.submit(fresh_bench.plan(broken)).failed().kind is FailureKind.MODEL_UNAVAILABLE
    fresh_bench.submit(fresh_bench.plan(sd_folder)).succeeded()
    assert fresh_bench.engine.model_ids == ["sd"]


def test_an_option_that_a_scheduler_refuses_is_an_invalid_request(fresh_bench: Workbench, sd_folder: Path) -> None:
    plan = fresh_bench.plan(sd_folder, scheduler="DDIMScheduler", scheduler_options={"timestep_spacing": 3})
    failed = fresh_bench.submit(plan).failed()
    assert (failed.kind, failed.field) == (FailureKind.INVALID_REQUEST, "scheduler_options.timestep_spacing")


def test_a_lost_device_is_told_and_ends_the_process(tmp_path: Path, sd_folder: Path, caps_folder: Path) -> None:
    codes: list[int] = []
    bench = Workbench(tmp_path, ModelStore(CPU, caps_folder), exit_process=codes.append)
    try:
        runner = bench.load(sd_folder).runner
        error = RuntimeError("CUDA error: an illegal memory access was encountered")
        with replaced(runner._adapter, "predict", raising(error, lambda _: True)):
            assert bench.submit(bench.plan(sd_folder)).failed().kind is FailureKind.DEVICE_FATAL
        bench.load(sd_folder)
        assert codes == [70]
    finally:
        bench.stop()


def test_a_sink_that_raises_harms_nobody(fresh_bench: Workbench, sd_folder: Path) -> None:
    def broken(_event: object) -> None:
        raise ValueError("nobody listens")

    fresh_bench.engine.submit(fresh_bench.plan(sd_folder), broken)
    fresh_bench.submit(fresh_bench.plan(sd_folder)).succeeded()
