"""An attempt outlives its worker: what one process left on disk another one goes on with, to the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safelight_worker.pb import worker_pb2 as pb
from tests.support import tiny
from tests.support.process import WorkerProcess, last, plan, until
from tests.support.tiny_controls import write_picture

FAMILIES = ("sd", "sdxl", "sd3", "flux")

#: So many that a worker is killed in the middle of them, not so many that the rest takes long.
STEPS = 60

Start = Callable[[], WorkerProcess]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {family: tiny.write(family, folder / family) for family in FAMILIES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What workers on one kind of device share: among it, the rows of exact forwards."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[WorkerProcess]:
    """One that lives."""
    worker = WorkerProcess(tmp_path_factory.mktemp("worker"), "--data-dir", str(data))
    yield worker
    worker.terminate()
    assert worker.wait() == (0, "")


@pytest.fixture
def start(tmp_path: Path, data: Path) -> Iterator[Start]:
    """Makes others."""
    made: list[WorkerProcess] = []

    def make() -> WorkerProcess:
        folder = tmp_path / f"worker-{len(made)}"
        folder.mkdir()
        made.append(WorkerProcess(folder, "--data-dir", str(data)))
        return made[-1]

    yield make
    for each in made:
        if each.process.poll() is None:
            each.kill()


def pixels(staging: Path) -> np.ndarray:
    with Image.open(staging / "0.png") as picture:
        return np.array(picture)


def wire(
    model: Path,
    folder: Path,
    name: str,
    *,
    exact: bool = False,
    resume_from: Path | None = None,
    interval_ms: int = 0,
    inputs: pb.Inputs | None = None,
) -> pb.ExecutionPlan:
    return plan(
        model,
        folder / name,
        f"{name}/1",
        STEPS,
        # Alone or exact: either way nobody changes a bit.
        batching=pb.Batching(solo=not exact, exact=exact),
        checkpointing=pb.Checkpointing(resume_from=str(resume_from or ""), interval_ms=interval_ms),
        inputs=inputs or pb.Inputs(),
    )


def drawn(worker: WorkerProcess, wanted: pb.ExecutionPlan) -> pb.Result:
    ended = last(worker.run(wanted))
    assert ended.HasField("result"), ended
    return ended.result


@pytest.mark.parametrize("exact", [False, True], ids=["alone", "exact"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_killed_worker_left_is_gone_on_with_to_the_same_pixels(
    worker: WorkerProcess, start: Start, models: dict[str, Path], tmp_path: Path, family: str, exact: bool
) -> None:
    model = models[family]
    drawn(worker, wire(model, tmp_path, "whole", exact=exact))
    victim = start()
    events = victim.run(wire(model, tmp_path, "killed", exact=exact, interval_ms=1))
    told = until(events, "checkpoint").checkpoint
    victim.kill()
    assert 0 < told.step < STEPS
    file = tmp_path / "killed" / told.file_name
    # The worker may have been killed while it wrote the next one; what has its name is whole.
    assert file.stat().st_size >= told.size_bytes > 0
    assert not (tmp_path / "killed" / "0.png").exists()
    result = drawn(worker, wire(model, tmp_path, "resumed", exact=exact, resume_from=file))
    assert told.step <= result.effective.resumed_at_step < STEPS
    assert (result.effective.exact_rows > 0) is exact
    assert np.array_equal(pixels(tmp_path / "whole"), pixels(tmp_path / "resumed"))


def test_one_that_starts_from_a_picture_is_gone_on_with(
    worker: WorkerProcess, start: Start, models: dict[str, Path], tmp_path: Path
) -> None:
    inputs = pb.Inputs(init_image=str(write_picture(tmp_path / "init.png")), strength=0.8)
    drawn(worker, wire(models["sd"], tmp_path, "whole", inputs=inputs))
    victim = start()
    events = victim.run(wire(models["sd"], tmp_path, "killed", inputs=inputs, interval_ms=1))
    told = until(events, "checkpoint").checkpoint
    victim.kill()
    file = tmp_path / "killed" / told.file_name
    drawn(worker, wire(models["sd"], tmp_path, "resumed", inputs=inputs, resume_from=file))
    assert np.array_equal(pixels(tmp_path / "whole"), pixels(tmp_path / "resumed"))


def test_a_suspended_attempt_ends_with_a_checkpoint_and_goes_on_elsewhere(
    worker: WorkerProcess, start: Start, models: dict[str, Path], tmp_path: Path
) -> None:
    drawn(worker, wire(models["sd"], tmp_path, "whole"))
    other = start()
    events = other.run(wire(models["sd"], tmp_path, "suspended"))
    until(events, "step_finished")
    assert other.stub.Suspend(pb.SuspendRequest(attempt_id="suspended/1")).found
    ended = last(events)
    assert ended.HasField("suspended"), ended
    checkpoint = ended.suspended.checkpoint
    assert 0 < checkpoint.step < STEPS
    file = tmp_path / "suspended" / checkpoint.file_name
    assert file.stat().st_size == checkpoint.size_bytes
    assert not other.stub.Suspend(pb.SuspendRequest(attempt_id="suspended/1")).found
    assert list(other.health().attempt_ids) == []
    result = drawn(worker, wire(models["sd"], tmp_path, "resumed", resume_from=file))
    assert result.effective.resumed_at_step == checkpoint.step
    assert np.array_equal(pixels(tmp_path / "whole"), pixels(tmp_path / "resumed"))


def test_nobody_is_suspended_who_is_not_there(worker: WorkerProcess) -> None:
    assert not worker.stub.Suspend(pb.SuspendRequest(attempt_id="never heard of")).found


def test_a_checkpoint_of_another_request_is_a_failure_that_names_it(
    worker: WorkerProcess, start: Start, models: dict[str, Path], tmp_path: Path
) -> None:
    events = worker.run(wire(models["sd"], tmp_path, "suspended"))
    until(events, "step_finished")
    worker.stub.Suspend(pb.SuspendRequest(attempt_id="suspended/1"))
    file = tmp_path / "suspended" / last(events).suspended.checkpoint.file_name
    wanted = wire(models["sd"], tmp_path, "other", resume_from=file)
    wanted.sampling.seeds[:] = [8]
    failure = last(worker.run(wanted)).failure
    assert (failure.kind, failure.field) == (pb.FAILURE_KIND_INVALID_REQUEST, "checkpoint")
    assert "seeds" in failure.message
    wanted = wire(models["sd"], tmp_path, "missing", resume_from=tmp_path / "missing.safetensors")
    failure = last(worker.run(wanted)).failure
    assert (failure.kind, failure.field) == (pb.FAILURE_KIND_INVALID_REQUEST, "checkpoint")
    drawn(worker, wire(models["sd"], tmp_path, "next"))
