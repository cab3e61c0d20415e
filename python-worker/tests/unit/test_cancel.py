"""A cancel in any phase ends the attempt once, and leaves neither a file nor a tensor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from safelight_worker.engine import delivery
from safelight_worker.engine.events import TERMINAL, Cancelled, PhaseStarted
from safelight_worker.types import Phase, Plan
from tests.support.engines import Watcher, Workbench
from tests.support.gates import Gate, held
from tests.support.leftovers import come_since, tensors, watch_states


@contextmanager
def held_in(bench: Workbench, phase: Phase, folder: Path) -> Iterator[Gate]:
    """The engine stands still inside a phase."""
    if phase is Phase.LOAD:
        with held(bench.models, "get") as gate:
            yield gate
        return
    runner = bench.load(folder).runner
    if phase is Phase.SAVE:
        # The last image's: a first file may lie there already.
        with held(delivery, "save", when=lambda *_, index, **__: index == 1) as gate:
            yield gate
    elif phase is Phase.VALIDATE:
        with held(delivery, "validate") as gate:
            yield gate
    elif phase is Phase.DENOISE:
        with held(runner, "tick", when=lambda states, *_: states[0].step == 2) as gate:
            yield gate
    else:
        method = {Phase.ENCODE: "encode", Phase.PREPARE: "prepare", Phase.DECODE: "finish"}[phase]
        with held(runner, method) as gate:
            yield gate


def assert_cancelled(watcher: Watcher, plan: Plan) -> None:
    assert isinstance(watcher.end(), Cancelled)
    assert [event for event in watcher.events if isinstance(event, TERMINAL)] == [Cancelled()]
    assert isinstance(watcher.events[-1], Cancelled)
    assert list(plan.staging_dir.iterdir()) == []


@pytest.mark.parametrize("phase", list(Phase))
def test_a_cancel_ends_the_attempt_in_every_phase(fresh_bench: Workbench, sd_folder: Path, phase: Phase) -> None:
    plan = fresh_bench.plan(sd_folder, seeds=(1,) if phase is Phase.VALIDATE else (1, 2))
    with held_in(fresh_bench, phase, sd_folder) as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        assert fresh_bench.engine.cancel(plan.attempt_id)
        gate.open()
        assert_cancelled(watcher, plan)
    assert fresh_bench.engine.attempt_ids == []
    assert watcher.phases[-1] is phase
    fresh_bench.submit(fresh_bench.plan(sd_folder)).succeeded()
    # What was held back by the gate has had its turn: nothing came after the end.
    assert_cancelled(watcher, plan)


def test_a_cancel_ends_an_attempt_that_waits(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder)
    with held(runner, "tick") as gate:
        running = fresh_bench.submit(fresh_bench.plan(sd_folder))
        gate.wait_reached()
        waiting = fresh_bench.submit(plan)
        assert fresh_bench.engine.cancel(plan.attempt_id)
        gate.open()
        assert_cancelled(waiting, plan)
        running.succeeded()
    assert waiting.of(PhaseStarted) == []


def test_a_cancel_breaks_off_a_whole_call_at_its_next_step(fresh_bench: Workbench, pixart_folder: Path) -> None:
    fresh_bench.load(pixart_folder)
    plan = fresh_bench.plan(pixart_folder, num_inference_steps=50)
    with held(fresh_bench.engine._ticker, "_beat") as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        assert fresh_bench.engine.cancel(plan.attempt_id)
        gate.open()
        assert_cancelled(watcher, plan)
    assert Phase.DECODE not in watcher.phases


def test_a_cancel_leaves_those_in_the_same_forward_alone(fresh_bench: Workbench, sd_folder: Path) -> None:
    fresh_bench.load(sd_folder)
    plans = [fresh_bench.plan(sd_folder), fresh_bench.plan(sd_folder)]
    with held_in(fresh_bench, Phase.DENOISE, sd_folder) as gate:
        watchers = [fresh_bench.submit(plan) for plan in plans]
        gate.wait_reached()
        fresh_bench.engine.cancel(plans[0].attempt_id)
        gate.open()
        assert_cancelled(watchers[0], plans[0])
        watchers[1].succeeded()


def test_there_is_nothing_to_cancel_after_the_end(fresh_bench: Workbench, sd_folder: Path) -> None:
    plan = fresh_bench.plan(sd_folder)
    watcher = fresh_bench.submit(plan)
    watcher.succeeded()
    assert not fresh_bench.engine.cancel(plan.attempt_id)
    assert not fresh_bench.engine.cancel("never heard of")
    assert len(list(plan.staging_dir.iterdir())) == 1


@pytest.mark.parametrize("phase", [Phase.ENCODE, Phase.PREPARE, Phase.DENOISE, Phase.DECODE, Phase.SAVE])
def test_a_cancel_leaves_no_tensor(fresh_bench: Workbench, sd_folder: Path, phase: Phase) -> None:
    runner = fresh_bench.load(sd_folder).runner
    fresh_bench.run(fresh_bench.plan(sd_folder))
    before = tensors(fresh_bench)
    kept = watch_states(runner)
    plan = fresh_bench.plan(sd_folder, seeds=(1, 2))
    with held_in(fresh_bench, phase, sd_folder) as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        fresh_bench.engine.cancel(plan.attempt_id)
        gate.open()
        assert_cancelled(watcher, plan)
    fresh_bench.pictures.clear()
    assert come_since(fresh_bench, before) == []
    assert [each() for each in kept if each() is not None] == []


def test_a_success_leaves_no_tensor_either(fresh_bench: Workbench, sd_folder: Path) -> None:
    fresh_bench.run(fresh_bench.plan(sd_folder))
    before = tensors(fresh_bench)
    fresh_bench.run_together([fresh_bench.plan(sd_folder, seeds=(1, 2)) for _ in range(3)])
    assert come_since(fresh_bench, before) == []
