"""What a worker tells of its memory, what it takes off the device, and what its command line makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.runners.row_caps import EXACT_AT_MOST
from tests.support import tiny
from tests.support.process import PATIENCE, ROOT, WorkerProcess, last, plan, until

Start = Callable[..., WorkerProcess]

#: Milliseconds that pass in no test.
NEVER = 3_600_000

LONG = 1000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write("sd", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Makes workers with further arguments."""
    made: list[WorkerProcess] = []

    def make(*arguments: str) -> WorkerProcess:
        folder = tmp_path / f"worker-{len(made)}"
        folder.mkdir()
        made.append(WorkerProcess(folder, *arguments))
        return made[-1]

    yield make
    for each in made:
        if each.process.poll() is None:
            each.kill()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.terminate()
    assert worker.wait() == (0, "")


def watch(worker: WorkerProcess, interval_ms: int) -> Iterator[pb.WatchMemoryResponse]:
    request = pb.WatchMemoryRequest(interval_ms=interval_ms)
    stream: Iterator[pb.WatchMemoryResponse] = worker.stub.WatchMemory(request, timeout=PATIENCE)
    return stream


# ---------------------------------------------------------------- models that come and go


def test_an_unloaded_model_is_gone_and_comes_back(worker: WorkerProcess, model: Path) -> None:
    facts = worker.load(model, "leaving")
    assert worker.stub.UnloadModel(pb.UnloadModelRequest(id="leaving")).found
    assert "leaving" not in worker.health().models
    assert not worker.stub.UnloadModel(pb.UnloadModelRequest(id="leaving")).found
    again = worker.load(model, "leaving")
    assert (again.weights_sha256, again.weights_bytes) == (facts.weights_sha256, facts.weights_bytes)
    assert "leaving" in worker.health().models


def test_nobody_is_unloaded_who_is_not_there(worker: WorkerProcess) -> None:
    assert not worker.stub.UnloadModel(pb.UnloadModelRequest(id="never heard of")).found


def test_a_model_in_use_stays_until_its_attempt_has_ended(worker: WorkerProcess, model: Path, tmp_path: Path) -> None:
    events = worker.run(plan(model, tmp_path / "s", "using/1", LONG))
    until(events, "step_finished")
    with pytest.raises(grpc.RpcError) as caught:
        worker.stub.UnloadModel(pb.UnloadModelRequest(id="tiny"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "tiny is in use" in str(caught.value.details())
    assert worker.stub.Suspend(pb.SuspendRequest(attempt_id="using/1")).found
    assert last(events).HasField("suspended")
    assert worker.stub.UnloadModel(pb.UnloadModelRequest(id="tiny")).found


def test_an_idle_model_leaves_when_its_time_is_over_unless_it_is_pinned(worker: WorkerProcess, model: Path) -> None:
    worker.load(model, "pinned", pinned=True, keep_alive_ms=1)
    worker.load(model, "brief", keep_alive_ms=1)
    worker.load(model, "lasting")
    watched = watch(worker, 100)
    told = next(each for each in watched if "brief" not in each.models)
    assert {"pinned", "lasting"} <= set(told.models)
    assert worker.stub.UnloadModel(pb.UnloadModelRequest(id="pinned")).found


# ---------------------------------------------------------------- memory that is watched


def test_memory_is_told_again_and_again(worker: WorkerProcess, model: Path) -> None:
    worker.load(model, "held")
    watched = watch(worker, 100)
    for told in (next(watched), next(watched), next(watched)):
        assert told.memory.total_bytes >= told.memory.free_bytes > 0
        assert told.memory.peak_bytes >= told.memory.allocated_bytes > 0
        assert "held" in told.models


def test_a_change_of_pressure_is_told_at_once(start: Start, worker: WorkerProcess, model: Path, tmp_path: Path) -> None:
    # What a worker takes before its first model, and 96 MiB above: a large picture takes some 240.
    fresh = start()
    bare = fresh.health().memory.allocated_bytes
    fresh.kill()
    # Safe with more than 15 % left.
    tight = start("--memory-budget-bytes", str(int((bare + (96 << 20)) / 0.85)))
    watched = watch(tight, NEVER)
    first = next(watched)
    assert first.memory.pressure == pb.MEMORY_PRESSURE_SAFE
    wanted = plan(model, tmp_path / "s", "large/1", 1)
    wanted.sampling.width = wanted.sampling.height = 768
    assert last(tight.run(wanted)).HasField("result")
    second = next(watched)
    assert second.memory.pressure in (pb.MEMORY_PRESSURE_WARNING, pb.MEMORY_PRESSURE_CRITICAL)
    assert second.memory.allocated_bytes > first.memory.allocated_bytes


def test_a_watch_ends_when_the_worker_does(start: Start) -> None:
    ending = start()
    watched = watch(ending, 100)
    next(watched)
    ending.terminate()
    for _ in watched:
        pass
    assert ending.wait() == (0, "")


def test_a_watcher_who_goes_away_is_no_burden(start: Start) -> None:
    left = start()
    watched = watch(left, 100)
    next(watched)
    watched.cancel()  # type: ignore[attr-defined]
    left.terminate()
    assert left.wait() == (0, "")
    assert [each["msg"] for each in left.log() if each["level"] == "error"] == []


def test_the_budget_is_all_there_is(start: Start) -> None:
    budget = 3 << 30
    limited = start("--memory-budget-bytes", str(budget))
    assert limited.health().memory.total_bytes == budget
    assert limited.stub.Describe(pb.DescribeRequest()).device.total_memory_bytes == budget


# ---------------------------------------------------------------- what is learned of a model


def test_the_facts_of_a_model_name_its_parts_and_what_its_phases_take(worker: WorkerProcess, model: Path) -> None:
    facts = worker.load(model, "known")
    parts = {each.name: each.weights_bytes for each in facts.components}
    assert {"unet", "vae", "text_encoder"} <= parts.keys()
    assert min(parts.values()) > 0
    assert sum(parts.values()) == facts.weights_bytes
    phases = [each.phase for each in facts.footprints]
    assert {pb.PHASE_ENCODE, pb.PHASE_DENOISE, pb.PHASE_DECODE} <= set(phases)
    assert len(phases) == len(set(phases))
    assert all(each.fixed_bytes > 0 or each.bytes_per_pixel > 0 for each in facts.footprints)


def test_exact_rows_are_told_once_there_are_any(start: Start, model: Path, tmp_path: Path) -> None:
    fresh = start()
    assert [cap.exact_rows for cap in fresh.load(model).row_caps] == [0]
    memory = pb.MemoryPlan(vae_slicing=True, vae_tiling=pb.TILING_TILED, attention_slicing=True)
    wanted = plan(model, tmp_path / "s", "exact/1", batching=pb.Batching(exact=True), memory=memory)
    effective = last(fresh.run(wanted)).result.effective
    (cap,) = fresh.load(model).row_caps
    assert effective.exact_rows == cap.exact_rows == 2 * min(cap.images, EXACT_AT_MOST)
    assert effective.memory == memory
    assert effective.resumed_at_step == 0
    plain = last(fresh.run(plan(model, tmp_path / "p", "plain/1"))).result.effective
    assert plain.exact_rows == 0
    assert plain.memory == pb.MemoryPlan()


# ---------------------------------------------------------------- faults on the command line


def test_a_fault_from_the_command_line_strikes_and_what_it_left_is_gone_on_with(
    start: Start, worker: WorkerProcess, model: Path, tmp_path: Path
) -> None:
    struck = start("--faults", "oom@denoise:3")
    failure = last(struck.run(plan(model, tmp_path / "s", "struck/1"))).failure
    assert (failure.kind, failure.phase) == (pb.FAILURE_KIND_DEVICE_OUT_OF_MEMORY, pb.PHASE_DENOISE)
    assert (failure.step, failure.requested_bytes) == (2, 2 << 30)
    assert failure.free_bytes > 0
    assert failure.checkpoint.step == 2
    file = tmp_path / "s" / failure.checkpoint.file_name
    checkpointing = pb.Checkpointing(resume_from=str(file))
    result = last(worker.run(plan(model, tmp_path / "t", "next/1", checkpointing=checkpointing))).result
    assert result.effective.resumed_at_step == 2
    # It struck once.
    assert last(struck.run(plan(model, tmp_path / "u", "struck/2"))).HasField("result")


def test_a_lost_device_ends_the_process_after_it_was_told(start: Start, model: Path, tmp_path: Path) -> None:
    lost = start("--faults", "fatal@denoise:2")
    events: list[pb.RunResponse] = []
    try:
        for event in lost.run(plan(model, tmp_path / "s", "lost/1")):
            events.append(event)  # noqa: PERF402  what came before the end must be kept
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017  the process may take the stream with it
    assert events[-1].failure.kind == pb.FAILURE_KIND_DEVICE_FATAL
    assert lost.wait()[0] == 70


@pytest.mark.parametrize("faults", ["oom", "oom@nowhere", "limit=images>2@denoise:3", "oom@denoise:1x0"])
def test_faults_that_cannot_be_read_end_the_process_before_it_is_ready(tmp_path: Path, faults: str) -> None:
    # The end of its stdin would end it before it reads them.
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "safelight_worker", "--socket", "s", "--device", "cpu:0", "--faults", faults],
            cwd=ROOT,
            stdin=reading,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode not in (0, 70)
    assert done.stdout == ""
    assert f"fault rule {faults!r}" in done.stderr
