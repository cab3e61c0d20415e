"""Pictures are decoded beside the engine: one that means harm fails its own attempt, and nobody's work waits for it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from safelight_worker.engine.engine import Engine
from safelight_worker.engine.events import Cancelled, PhaseStarted, Suspended
from safelight_worker.engine.input_process import InputProcess
from safelight_worker.types import FailureKind, Inputs, Phase, Plan
from tests.support.calling import gradient
from tests.support.engines import PATIENCE, Workbench
from tests.support.pictures import scan_bomb


@pytest.fixture
def bench(fresh_bench: Workbench, sd_folder: Path) -> Workbench:
    """Gives a picture two seconds of computing, not twenty."""
    fresh_bench.load(sd_folder)
    fresh_bench.engine._inputs._process = InputProcess(cpu_seconds=2)
    return fresh_bench


@pytest.fixture
def held_file(tmp_path: Path) -> Path:
    """Whoever opens it to write returns once it is opened to be read, and holds the reader up until it closes it."""
    os.mkfifo(tmp_path / "held")
    return tmp_path / "held"


def plan_from(bench: Workbench, folder: Path, picture: Path) -> Plan:
    return bench.plan(folder, inputs=Inputs(init_image=picture, strength=0.5))


def test_a_bomb_fails_its_own_attempt_while_the_others_go_on(bench: Workbench, sd_folder: Path, tmp_path: Path) -> None:
    bomb = bench.submit(plan_from(bench, sd_folder, scan_bomb(tmp_path / "bomb.jpg")))
    bench.submit(bench.plan(sd_folder)).succeeded()
    failed = bomb.failed()
    assert (failed.kind, failed.phase, failed.field) == (FailureKind.INVALID_REQUEST, Phase.PREPARE, "init_image")
    assert "too long" in failed.message
    bench.submit(plan_from(bench, sd_folder, gradient(tmp_path / "good.png", 64, 64))).succeeded()
    assert bench.engine.attempt_ids == []


def test_nobody_waits_for_the_pictures_of_another(bench: Workbench, sd_folder: Path, held_file: Path) -> None:
    waiting = bench.submit(plan_from(bench, sd_folder, held_file))
    with held_file.open("wb") as held:
        bench.submit(bench.plan(sd_folder)).succeeded()
        assert waiting.events == []
        gradient(held_file.with_suffix(".png"), 64, 64)
        held.write(held_file.with_suffix(".png").read_bytes())
    waiting.succeeded()


@pytest.mark.parametrize("ask", [Engine.cancel, Engine.suspend])
def test_an_attempt_can_leave_while_its_picture_is_being_decoded(
    bench: Workbench, sd_folder: Path, held_file: Path, ask: object
) -> None:
    assert callable(ask)
    plan = plan_from(bench, sd_folder, held_file)
    watcher = bench.submit(plan)
    with held_file.open("wb"):
        assert ask(bench.engine, plan.attempt_id)
        end = watcher.end()
    assert isinstance(end, Cancelled if ask is Engine.cancel else Suspended)
    assert watcher.of(PhaseStarted) == []
    assert bench.engine.attempt_ids == []


def test_a_stop_gives_back_an_attempt_whose_picture_is_being_decoded(
    bench: Workbench, sd_folder: Path, held_file: Path
) -> None:
    decoding = bench.submit(plan_from(bench, sd_folder, held_file))
    with held_file.open("wb"):
        behind = bench.submit(plan_from(bench, sd_folder, held_file))
        assert bench.engine.stop(PATIENCE)
    for watcher in (decoding, behind):
        assert watcher.failed().kind is FailureKind.WORKER_STOPPING
    assert bench.engine._inputs._process._process is None


def test_the_engine_opens_no_file_that_a_client_sent(bench: Workbench, sd_folder: Path, tmp_path: Path) -> None:
    path = gradient(tmp_path / "a.png", 40, 30)
    plan = plan_from(bench, sd_folder, path)
    seen: list[Plan] = []
    runner = bench.load(sd_folder).runner
    prepare = runner.prepare
    runner.prepare = lambda plan, *rest: (seen.append(plan), prepare(plan, *rest))[1]
    (picture,) = bench.run(plan)
    (given,) = seen
    assert given.inputs == replace(plan.inputs, init_image=given.inputs.init_image)
    assert not isinstance(given.inputs.init_image, Path)
    # The same picture as from the file itself.
    direct = runner.prepare(plan, runner.encode(plan), plan.seeds[0])
    decoded = runner.prepare(given, runner.encode(given), given.seeds[0])
    assert direct.latents.equal(decoded.latents)
    assert picture.shape == (64, 64, 3)
