"""The contract over a real socket, with a real process at its other end."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.pipelines.scheduler_options import accepted_options
from tests.support import tiny
from tests.support.process import PATIENCE, WorkerProcess, kinds, plan

#: More steps than any of these tests waits for.
LONG = 1000

TERMINAL = ("result", "failure", "cancelled")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write("sd", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.terminate()
    code, rest = worker.wait()
    assert (code, rest) == (0, ""), "stdout holds the ready line and nothing else"
    told = worker.log()
    assert [each["msg"] for each in told][:2] == ["importing torch, diffusers and transformers", "imported"]
    assert {"ready", "draining", "stopped"} <= {each["msg"] for each in told}


def until(events: Iterator[pb.RunResponse], kind: str) -> pb.RunResponse:
    return next(event for event in events if event.WhichOneof("event") == kind)


def rest_of(events: Iterator[pb.RunResponse]) -> pb.RunResponse:
    """The last event."""
    return list(events)[-1]


def test_the_ready_line_tells_where_it_listens(worker: WorkerProcess) -> None:
    assert worker.ready == {"event": "ready", "address": worker.address, "pid": worker.process.pid, "protocol": 1}


def test_it_describes_itself(worker: WorkerProcess) -> None:
    told = worker.stub.Describe(pb.DescribeRequest())
    assert (told.protocol, told.pid) == (1, worker.process.pid)
    assert (told.device.id, told.device.kind) == ("cpu:0", "cpu")
    assert told.device.total_memory_bytes > 0
    assert {"python", "torch", "diffusers", "transformers"} <= told.versions.keys()
    assert {each.class_name: list(each.options) for each in told.schedulers} == accepted_options()


def test_a_model_is_loaded_once_and_its_facts_told(worker: WorkerProcess, model: Path) -> None:
    request = pb.LoadModelRequest(model=pb.ModelSpec(id="tiny", source=str(model)))
    facts = worker.stub.LoadModel(request).model
    assert (facts.id, facts.pipeline_class, facts.runner) == ("tiny", "StableDiffusionPipeline", "stepped")
    assert (facts.dtype, len(facts.weights_sha256)) == ("float32", 64)
    assert [(cap.width, cap.height) for cap in facts.row_caps] == [(64, 64)]
    assert worker.stub.LoadModel(request).model == facts
    assert list(worker.health().models) == ["tiny"]


def test_a_model_that_is_not_there_is_not_found(worker: WorkerProcess) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        worker.stub.LoadModel(pb.LoadModelRequest(model=pb.ModelSpec(id="x", source="/nowhere")))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        worker.stub.LoadModel(pb.LoadModelRequest(model=pb.ModelSpec(id="x", source="nowhere")))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_attempt_tells_its_way_and_ends_with_a_file(worker: WorkerProcess, model: Path, tmp_path: Path) -> None:
    worker.stub.LoadModel(pb.LoadModelRequest(model=pb.ModelSpec(id="tiny", source=str(model))))
    events = list(worker.run(plan(model, tmp_path / "s", "ordered/1")))
    names = kinds(iter(events))
    assert names[0] == "accepted"
    assert names[-1] == "result"
    assert [name for name in names if name in TERMINAL] == ["result"]
    phases = [event.phase_started.phase for event in events if event.HasField("phase_started")]
    assert phases == sorted(phases)
    assert phases[0] == pb.PHASE_ENCODE
    assert phases[-1] == pb.PHASE_SAVE
    steps = [event.step_finished.step for event in events if event.HasField("step_finished")]
    assert steps[-1] == 4
    assert steps == sorted(set(steps))
    result = events[-1].result
    (artifact,) = result.artifacts
    data = (tmp_path / "s" / artifact.file_name).read_bytes()
    assert (artifact.sha256, artifact.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (artifact.width, artifact.height, artifact.seed) == (64, 64, 7)
    assert result.effective.scheduler == "DPMSolverMultistepScheduler"
    assert dict(result.effective.scheduler_options) == {"use_karras_sigmas": True}
    assert (result.effective.runner, result.effective.max_batch_images) == ("stepped", 1)
    assert "torch" in result.effective.versions


def test_lines_name_job_and_attempt_and_hold_no_prompt(worker: WorkerProcess, model: Path, tmp_path: Path) -> None:
    words = " ".join(f"heron{number}" for number in range(90))
    wire = plan(model, tmp_path / "s", "01a1fc57/3")
    # More words than the encoder reads: the library says which it cuts off, and we say how many.
    wire.prompt.text = words
    assert rest_of(worker.run(wire)).HasField("result")
    told = [each for each in worker.log() if each.get("job") == "01a1fc57"]
    assert {each["attempt"] for each in told} == {3}
    assert "the end of a text is beyond what the model reads" in {each["msg"] for each in told}
    assert any("truncated" in each["msg"] and each["logger"].startswith("diffusers") for each in told)
    assert "heron" not in worker.stderr.read_text()


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"width": 63}, "width"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"scheduler": "MagicScheduler"}, "scheduler"),
    ],
    ids=["width", "steps", "scheduler"],
)
def test_a_bad_plan_is_a_failure_as_data(
    worker: WorkerProcess, model: Path, tmp_path: Path, sampling: dict[str, Any], field: str
) -> None:
    wire = plan(model, tmp_path / "s", f"bad-{field}/1")
    for name, value in sampling.items():
        setattr(wire.sampling, name, value)
    events = list(worker.run(wire))
    assert events[0].HasField("accepted")
    failure = events[-1].failure
    assert (failure.kind, failure.field) == (pb.FAILURE_KIND_INVALID_REQUEST, field)


def test_an_attempt_in_flight_is_not_taken_twice_and_a_cancel_ends_it(
    worker: WorkerProcess, model: Path, tmp_path: Path
) -> None:
    wire = plan(model, tmp_path / "s", "long/1", LONG)
    events = worker.run(wire)
    until(events, "step_finished")
    health = worker.health()
    assert (health.state, list(health.attempt_ids)) == (pb.WORKER_STATE_BUSY, ["long/1"])
    assert health.phase == pb.PHASE_DENOISE
    assert rest_of(worker.run(wire)).failure.field == "attempt_id"
    assert worker.stub.Cancel(pb.CancelRequest(attempt_id="long/1")).found
    assert rest_of(events).HasField("cancelled")
    assert list((tmp_path / "s").iterdir()) == []
    assert not worker.stub.Cancel(pb.CancelRequest(attempt_id="long/1")).found
    worker.wait_until_idle()
    assert worker.health().state == pb.WORKER_STATE_READY


def test_previews_flow_while_they_are_asked_for(worker: WorkerProcess, model: Path, tmp_path: Path) -> None:
    events = worker.run(plan(model, tmp_path / "s", "watched/1", LONG))
    until(events, "step_finished")
    assert worker.stub.SetPreviews(pb.SetPreviewsRequest(attempt_id="watched/1", interval_ms=100)).found
    frame = until(events, "preview").preview
    assert frame.media_type == "image/jpeg"
    assert frame.data.startswith(b"\xff\xd8")
    worker.stub.SetPreviews(pb.SetPreviewsRequest(attempt_id="watched/1", interval_ms=0))
    worker.stub.Cancel(pb.CancelRequest(attempt_id="watched/1"))
    assert kinds(events)[-1] == "cancelled"
    assert not worker.stub.SetPreviews(pb.SetPreviewsRequest(attempt_id="watched/1", interval_ms=100)).found


def test_nobody_who_did_not_ask_gets_previews(worker: WorkerProcess, model: Path, tmp_path: Path) -> None:
    assert "preview" not in kinds(worker.run(plan(model, tmp_path / "s", "unwatched/1", 8)))


def test_a_reader_that_does_not_read_holds_nobody_up_and_gets_the_end(
    worker: WorkerProcess, model: Path, tmp_path: Path
) -> None:
    slow = worker.run(plan(model, tmp_path / "slow", "slow/1", 120, preview_interval_ms=1))
    for number in range(3):
        assert kinds(worker.run(plan(model, tmp_path / f"{number}", f"quick/{number}")))[-1] == "result"
    worker.wait_until_idle()
    assert kinds(slow)[-1] == "result"


def test_a_client_that_goes_away_cancels_its_attempt(worker: WorkerProcess, model: Path, tmp_path: Path) -> None:
    events = worker.run(plan(model, tmp_path / "s", "left/1", LONG))
    until(events, "step_finished")
    events.cancel()
    worker.wait_until_idle()
    assert list((tmp_path / "s").iterdir()) == []


def test_many_at_once_all_end_well(worker: WorkerProcess, model: Path, tmp_path: Path) -> None:
    streams = [worker.run(plan(model, tmp_path / f"{n}", f"many-{n}/1", 2 + n % 3)) for n in range(10)]
    ends: list[str] = []
    readers = [threading.Thread(target=lambda each: ends.append(kinds(each)[-1]), args=[each]) for each in streams]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(PATIENCE)
    assert ends == ["result"] * 10


def test_the_loop_lives_when_idle(worker: WorkerProcess) -> None:
    before = worker.health()
    assert before.phase == pb.PHASE_UNSPECIFIED
    assert before.loop_age.ToMilliseconds() < PATIENCE * 1000
    assert before.memory.total_bytes >= before.memory.free_bytes > 0
    for _ in range(100_000):
        if worker.health().loop_count > before.loop_count:
            return
    raise AssertionError("the loop stands still")
