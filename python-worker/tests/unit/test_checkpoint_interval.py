"""Marks an attempt leaves on its way: told when they are whole, one at a time, and never worth the attempt itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safelight_worker.engine.delivery import CHECKPOINT_FILE
from safelight_worker.engine.events import Cancelled, Checkpointed, Event, StepFinished, Suspended
from safelight_worker.pipelines import checkpoints
from safelight_worker.runners import attempt_record
from safelight_worker.runners.attempt_record import AttemptRecord
from safelight_worker.types import FailureKind
from tests.support.engines import Watcher, Workbench, same
from tests.support.gates import held, replaced
from tests.support.resuming import again, resumed, suspended

#: Milliseconds that have passed at every step.
ALWAYS = 1

#: Milliseconds that pass in no test.
NEVER = 3_600_000


class Reader(Watcher):
    """Reads the checkpoint whenever it is told of one."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.read: list[bytes] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Checkpointed):
            self.read.append((self.folder / event.file_name).read_bytes())
        super().__call__(event)


class Writings:
    """The steps of checkpoints in the order in which they are begun, and how many were being written at once."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def counted(self, write: Any) -> Callable[[AttemptRecord, Path], int]:
        def run(record: AttemptRecord, path: Path) -> int:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
                self.steps.append(record.step)
            try:
                return int(write(record, path))
            finally:
                with self._lock:
                    self._now -= 1

        return run


def full_disk(_write: Any) -> Callable[..., int]:
    def run(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    return run


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux"])
def test_each_one_that_is_told_is_whole_and_can_be_gone_on_from(
    fresh_bench: Workbench, folders: dict[str, Path], family: str, tmp_path: Path
) -> None:
    plan = fresh_bench.plan(folders[family], num_inference_steps=30, solo=True, checkpoint_interval_ms=ALWAYS)
    (whole,) = fresh_bench.run(again(plan, tmp_path, checkpoint_interval_ms=0))
    reader = Reader(plan.staging_dir)
    fresh_bench.engine.submit(plan, reader)
    reader.succeeded()
    told = reader.of(Checkpointed)
    assert len(told) > 1
    assert [each.step for each in told] == sorted({each.step for each in told})
    assert {each.file_name for each in told} == {CHECKPOINT_FILE}
    for number in {0, len(told) // 2}:
        copy = tmp_path / f"{number}.safetensors"
        copy.write_bytes(reader.read[number])
        # A later one may have taken its place already; half of one is never there.
        assert checkpoints.read(copy).facts["step"] >= told[number].step
        assert same(whole, resumed(fresh_bench, again(plan, tmp_path, checkpoint_interval_ms=0), copy)[0])


@pytest.mark.parametrize("interval", [0, NEVER], ids=["none", "an hour"])
def test_none_comes_before_its_time(fresh_bench: Workbench, sd_folder: Path, interval: int) -> None:
    fresh_bench.load(sd_folder)
    watcher = fresh_bench.submit(fresh_bench.plan(sd_folder, checkpoint_interval_ms=interval))
    watcher.succeeded()
    assert watcher.of(Checkpointed) == []


def test_steps_go_on_while_one_is_written_and_no_other_is_begun(fresh_bench: Workbench, sd_folder: Path) -> None:
    fresh_bench.load(sd_folder)
    writings = Writings()
    with replaced(AttemptRecord, "write", writings.counted), held(AttemptRecord, "write") as gate:
        plan = fresh_bench.plan(sd_folder, num_inference_steps=20, checkpoint_interval_ms=ALWAYS)
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        watcher.wait_for(lambda event: isinstance(event, StepFinished) and event.step == 20)
        assert writings.steps == []
        gate.open()
        watcher.succeeded()
    assert len(writings.steps) == 1
    assert len(watcher.of(Checkpointed)) == 1


def test_that_of_a_suspension_is_written_after_the_one_that_is_going_on(
    fresh_bench: Workbench, sd_folder: Path, tmp_path: Path
) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder, num_inference_steps=20, solo=True, checkpoint_interval_ms=ALWAYS)
    (whole,) = fresh_bench.run(again(plan, tmp_path, checkpoint_interval_ms=0))
    writings = Writings()
    with (
        held(runner, "tick", lambda states, *_: states[0].step == 9) as step,
        replaced(AttemptRecord, "write", writings.counted),
        held(AttemptRecord, "write") as writing,
    ):
        watcher = fresh_bench.submit(plan)
        writing.wait_reached()
        step.wait_reached()
        assert fresh_bench.engine.suspend(plan.attempt_id)
        step.open()
        # Answered after the round in which it left.
        fresh_bench.load(sd_folder)
        writing.open()
        ended = watcher.end()
    assert isinstance(ended, Suspended)
    assert ended.checkpoint is not None
    assert ended.checkpoint.step == 10
    assert (writings.steps, writings.most) == ([1, 10], 1)
    file = plan.staging_dir / CHECKPOINT_FILE
    assert checkpoints.read(file).facts["step"] == 10
    assert same(whole, resumed(fresh_bench, again(plan, tmp_path, checkpoint_interval_ms=0), file)[0])


def test_one_that_cannot_be_written_harms_nothing(fresh_bench: Workbench, sd_folder: Path, tmp_path: Path) -> None:
    plan = fresh_bench.plan(sd_folder, num_inference_steps=8, solo=True, checkpoint_interval_ms=ALWAYS)
    (whole,) = fresh_bench.run(again(plan, tmp_path, checkpoint_interval_ms=0))
    with replaced(attempt_record, "write", full_disk):
        watcher = fresh_bench.submit(plan)
        watcher.succeeded()
    assert same(whole, fresh_bench.pictures[plan.attempt_id][0])
    assert watcher.of(Checkpointed) == []


def test_one_that_cannot_be_taken_harms_nothing(fresh_bench: Workbench, sd_folder: Path, tmp_path: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder, solo=True, checkpoint_interval_ms=ALWAYS)
    (whole,) = fresh_bench.run(again(plan, tmp_path, checkpoint_interval_ms=0))
    with replaced(runner, "to_host", full_disk):
        watcher = fresh_bench.submit(plan)
        watcher.succeeded()
    assert same(whole, fresh_bench.pictures[plan.attempt_id][0])
    assert watcher.of(Checkpointed) == []


def test_a_suspension_without_room_for_its_checkpoint_ends_without_one(fresh_bench: Workbench, sd_folder: Path) -> None:
    with replaced(attempt_record, "write", full_disk):
        assert suspended(fresh_bench, fresh_bench.plan(sd_folder), 2) == Suspended()
    fresh_bench.submit(fresh_bench.plan(sd_folder)).succeeded()


def test_a_success_leaves_its_pictures_and_no_checkpoint(fresh_bench: Workbench, sd_folder: Path) -> None:
    plan = fresh_bench.plan(sd_folder, seeds=(1, 2), checkpoint_interval_ms=ALWAYS)
    watcher = fresh_bench.submit(plan)
    watcher.succeeded()
    assert watcher.of(Checkpointed) != []
    assert sorted(file.name for file in plan.staging_dir.iterdir()) == ["0.png", "1.png"]


def test_a_cancel_leaves_no_checkpoint(fresh_bench: Workbench, sd_folder: Path) -> None:
    plan = fresh_bench.plan(sd_folder, num_inference_steps=1000, checkpoint_interval_ms=ALWAYS)
    watcher = fresh_bench.submit(plan)
    watcher.wait_for(lambda event: isinstance(event, Checkpointed))
    assert fresh_bench.engine.cancel(plan.attempt_id)
    assert watcher.end() == Cancelled()
    assert list(plan.staging_dir.iterdir()) == []


def test_a_worker_that_stops_leaves_the_last_one(fresh_bench: Workbench, sd_folder: Path, tmp_path: Path) -> None:
    plan = fresh_bench.plan(sd_folder, num_inference_steps=1000, checkpoint_interval_ms=ALWAYS)
    watcher = fresh_bench.submit(plan)
    watcher.wait_for(lambda event: isinstance(event, Checkpointed))
    fresh_bench.stop()
    assert watcher.failed().kind is FailureKind.WORKER_STOPPING
    assert checkpoints.read(plan.staging_dir / CHECKPOINT_FILE).facts["step"] >= watcher.of(Checkpointed)[-1].step
    assert [file.name for file in plan.staging_dir.iterdir()] == [CHECKPOINT_FILE]
