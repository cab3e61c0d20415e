"""Faults on purpose inside the engine: who is struck is told what, where he can go on, and nobody else notices."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from safelight_worker.engine.engine import Engine
from safelight_worker.engine.events import Failed, StepFinished
from safelight_worker.engine.models import ModelStore
from safelight_worker.memory.fault_injection import FaultInjector
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.types import FailureKind, Phase, Plan, WorkerError
from tests.support.engines import CPU, PATIENCE, Workbench, reference, same, spec, store
from tests.support.exactness import TOLERANCE
from tests.support.gates import held
from tests.support.resuming import again, file_of, resumed

Make = Callable[[str], Workbench]

#: What an injected fault says it asked for.
REQUESTED = 2 << 30


@pytest.fixture
def struck(tmp_path: Path, caps_folder: Path) -> Iterator[Make]:
    """Makes engines that are struck by faults."""
    made: list[Workbench] = []

    def make(faults: str) -> Workbench:
        folder = tmp_path / f"engine-{len(made)}"
        folder.mkdir()
        made.append(Workbench(folder, store(caps_folder), faults=FaultInjector.parse(faults)))
        return made[-1]

    yield make
    for bench in made:
        bench.stop()


def assert_out_of_memory(failed: Failed, phase: Phase, step: int) -> None:
    assert (failed.kind, failed.phase, failed.step) == (FailureKind.DEVICE_OUT_OF_MEMORY, phase, step)
    assert failed.requested_bytes == REQUESTED
    assert failed.free_bytes > 0
    assert "out of memory" in failed.message


def assert_right(bench: Workbench, plan: Plan) -> None:
    """The pictures are those that ``pipe()`` draws."""
    pipe = bench.load(Path(plan.model.source)).model.pipe
    for picture, seed in zip(bench.pictures.pop(plan.attempt_id), plan.seeds, strict=True):
        assert np.abs(picture - reference(pipe, plan, seed)).max() <= TOLERANCE


@pytest.mark.parametrize("phase", [Phase.ENCODE, Phase.PREPARE])
def test_no_memory_before_the_first_step_ends_one_attempt_without_a_checkpoint(
    struck: Make, sd_folder: Path, phase: Phase
) -> None:
    bench = struck(f"oom@{phase.value}")
    loaded = bench.load(sd_folder)
    plans = [bench.plan(sd_folder, seeds=(seed,)) for seed in (1, 2, 3)]
    with held(loaded.runner, "tick") as gate:
        watchers = [bench.submit(plan) for plan in plans]
        failed = watchers[0].failed()
        gate.open()
        for plan, watcher in zip(plans[1:], watchers[1:], strict=True):
            watcher.succeeded()
            assert_right(bench, plan)
    assert_out_of_memory(failed, phase, 0)
    assert failed.checkpoint is None
    assert list(plans[0].staging_dir.iterdir()) == []


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux"])
def test_no_memory_at_a_step_leaves_a_checkpoint_to_go_on_from(
    struck: Make, bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    # Only the one with eight steps comes to its seventh.
    ill = struck("oom@denoise:7")
    victim = ill.plan(folders[family], num_inference_steps=8, solo=True)
    (whole,) = bench.run(again(victim, bench.folder))
    loaded = ill.load(folders[family])
    others = [ill.plan(folders[family], seeds=(seed,)) for seed in (1, 2)]
    with held(loaded.runner, "tick") as gate:
        watchers = [ill.submit(plan) for plan in (victim, *others)]
        gate.open()
        failed = watchers[0].failed()
        for plan, watcher in zip(others, watchers[1:], strict=True):
            watcher.succeeded()
            assert_right(ill, plan)
    assert_out_of_memory(failed, Phase.DENOISE, 6)
    assert failed.checkpoint is not None
    assert failed.checkpoint.step == 6
    checkpoint = file_of(victim, failed.checkpoint)
    assert same(whole, resumed(bench, victim, checkpoint)[0])
    # The worker that was struck goes on from it as well.
    assert same(whole, resumed(ill, victim, checkpoint)[0])


def test_no_memory_for_a_decode_leaves_all_steps_in_the_checkpoint(
    struck: Make, bench: Workbench, sd_folder: Path
) -> None:
    ill = struck("oom@decode")
    victim = ill.plan(sd_folder, seeds=(1, 2), solo=True)
    whole = bench.run(again(victim, bench.folder))
    failed = ill.submit(victim).failed()
    assert_out_of_memory(failed, Phase.DECODE, 4)
    assert [file.name for file in victim.staging_dir.iterdir()] == ["checkpoint.safetensors"]
    second = again(victim, bench.folder, resume_from=file_of(victim, failed.checkpoint))
    watcher = bench.submit(second)
    assert watcher.succeeded().effective.resumed_at_step == 4
    assert watcher.of(StepFinished) == []
    for one, later in zip(whole, bench.pictures.pop(second.attempt_id), strict=True):
        assert same(one, later)


def test_forwards_above_the_limit_are_taken_apart(struck: Make, sd_folder: Path) -> None:
    bench = struck("limit=images>2@denoise")
    loaded = bench.load(sd_folder)
    plans = [bench.plan(sd_folder, seeds=(1, 2, 3, 4, 5)), bench.plan(sd_folder, seeds=(6,))]
    sizes: list[int] = []
    module = loaded.runner._adapter.module
    hook = module.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0]) // 2))
    with held(loaded.runner, "encode") as gate:
        watchers = [bench.submit(plan) for plan in plans]
        gate.open()
        for watcher in watchers:
            watcher.succeeded()
    hook.remove()
    for plan in plans:
        assert_right(bench, plan)
    assert max(sizes) == 2
    assert sum(sizes) == 4 * 6


def test_no_room_for_a_single_image_fails_each_attempt_by_itself(struck: Make, sd_folder: Path) -> None:
    bench = struck("limit=images>0@denoise")
    bench.load(sd_folder)
    for watcher in [bench.submit(bench.plan(sd_folder, seeds=(seed,))) for seed in (1, 2, 3)]:
        failed = watcher.failed()
        assert_out_of_memory(failed, Phase.DENOISE, 0)
        assert failed.checkpoint is not None
        assert failed.checkpoint.step == 0


def test_no_memory_at_a_step_inside_a_batch_is_got_over(struck: Make, sd_folder: Path) -> None:
    bench = struck("oom@denoise:2")
    bench.load(sd_folder)
    plan = bench.plan(sd_folder, seeds=(1, 2, 3))
    bench.submit(plan).succeeded()
    assert_right(bench, plan)


def test_a_lost_device_is_told_and_ends_the_process(tmp_path: Path, sd_folder: Path, caps_folder: Path) -> None:
    codes: list[int] = []
    faults = FaultInjector.parse("fatal@denoise:3")
    bench = Workbench(tmp_path, store(caps_folder), exit_process=codes.append, faults=faults)
    try:
        bench.load(sd_folder)
        failed = bench.submit(bench.plan(sd_folder)).failed()
        # Answered after the round in which it was struck.
        bench.load(sd_folder)
    finally:
        bench.stop()
    assert (failed.kind, failed.phase, failed.step) == (FailureKind.DEVICE_FATAL, Phase.DENOISE, 2)
    assert failed.checkpoint is None, "a lost device has no state to read"
    assert codes == [70]


@pytest.mark.parametrize("phase", [Phase.ENCODE, Phase.PREPARE, Phase.DENOISE, Phase.DECODE])
def test_a_defect_is_internal_and_the_next_attempt_succeeds(struck: Make, sd_folder: Path, phase: Phase) -> None:
    bench = struck(f"error@{phase.value}")
    bench.load(sd_folder)
    failed = bench.submit(bench.plan(sd_folder)).failed()
    assert (failed.kind, failed.phase) == (FailureKind.INTERNAL, phase)
    assert f"injected by error@{phase.value}" in failed.message
    assert "Traceback" in failed.detail
    plan = bench.plan(sd_folder)
    bench.submit(plan).succeeded()
    assert_right(bench, plan)


def test_no_memory_to_load_is_told_to_who_asked_and_the_next_load_succeeds(struck: Make, sd_folder: Path) -> None:
    bench = struck("oom@load:*x2")
    with pytest.raises(WorkerError) as caught:
        bench.engine.load(spec(sd_folder)).result(PATIENCE)
    assert caught.value.kind is FailureKind.DEVICE_OUT_OF_MEMORY
    assert_out_of_memory(bench.submit(bench.plan(sd_folder)).failed(), Phase.LOAD, 0)
    bench.submit(bench.plan(sd_folder)).succeeded()


@pytest.mark.parametrize("faults", ["", "leak@load"])
def test_a_leak_keeps_the_weights_of_a_model_that_left(
    tmp_path: Path, sd_folder: Path, caps_folder: Path, faults: str
) -> None:
    injector = FaultInjector.parse(faults)
    bench = Workbench(tmp_path, ModelStore(CPU, caps_folder, MemoryProbe(CPU), faults=injector), faults=injector)
    try:
        loaded = bench.engine.load(spec(sd_folder)).result(PATIENCE)
        weights = weakref.ref(loaded.weights()[0].untyped_storage())
        del loaded
        assert bench.engine.unload(sd_folder.name).result(PATIENCE)
        # One more turn, so that the thread's own frames have moved on.
        assert not bench.engine.unload(sd_folder.name).result(PATIENCE)
        gc.collect()
        assert (weights() is not None) is bool(faults)
    finally:
        bench.stop()


def test_an_engine_without_faults_is_not_struck(tmp_path: Path, sd_folder: Path, caps_folder: Path) -> None:
    engine = Engine(CPU, store(caps_folder), 1, faults=FaultInjector.parse(""))
    engine.start()
    try:
        assert engine.load(spec(sd_folder)).result(PATIENCE).runner.kind == "stepped"
    finally:
        assert engine.stop(PATIENCE)
