"""What the engine does when it is wrong itself."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from safelight_worker.engine.attempt import Attempt
from safelight_worker.engine.events import Cancelled, Preview
from safelight_worker.engine.models import ModelStore
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.types import FailureKind, Phase, WorkerError
from tests.support.engines import CPU, PATIENCE, Watcher, Workbench, make_plan
from tests.support.gates import replaced


def breaking(_original: Any) -> Any:
    def run(*_: Any) -> Any:
        raise ZeroDivisionError("a defect")

    return run


def test_a_preview_that_fails_costs_no_picture(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with replaced(runner, "preview", breaking):
        watcher = fresh_bench.submit(fresh_bench.plan(sd_folder, preview_interval_ms=1))
        watcher.succeeded()
    assert watcher.of(Preview) == []


def test_a_defect_in_loading_is_told_to_who_waits(fresh_bench: Workbench, sd_folder: Path) -> None:
    with replaced(fresh_bench.models, "get", breaking), pytest.raises(WorkerError, match="a defect") as caught:
        fresh_bench.load(sd_folder)
    assert caught.value.kind is FailureKind.INTERNAL


def test_frames_that_come_in_late_are_not_sent(tmp_path: Path, sd_folder: Path) -> None:
    watcher = Watcher()
    attempt = Attempt(make_plan(sd_folder, tmp_path), watcher, MemoryProbe(CPU), 1)
    for step in (2, 1, 3):
        attempt.tell(Preview(step, b""))
    attempt.tell(Cancelled())
    attempt.tell(Preview(4, b""))
    assert watcher.events == [Preview(2, b""), Preview(3, b""), Cancelled()]


def test_a_defect_in_preparing_is_internal_and_the_next_is_served(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with replaced(runner, "prepare", breaking):
        failed = fresh_bench.submit(fresh_bench.plan(sd_folder)).failed()
    assert (failed.kind, failed.phase) == (FailureKind.INTERNAL, Phase.PREPARE)
    assert "ZeroDivisionError: a defect" in failed.message
    fresh_bench.submit(fresh_bench.plan(sd_folder)).succeeded()


def test_a_defect_of_the_loop_ends_the_process_rather_than_leave_it_deaf(tmp_path: Path, caps_folder: Path) -> None:
    codes: list[int] = []
    gone = threading.Event()

    def leave(code: int) -> None:
        codes.append(code)
        gone.set()

    bench = Workbench(tmp_path, ModelStore(CPU, caps_folder), exit_process=leave)
    with replaced(bench.engine, "_drop_leaving", breaking):
        assert gone.wait(PATIENCE)
    bench.stop()
    assert codes == [1]
