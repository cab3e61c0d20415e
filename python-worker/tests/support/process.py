"""A worker process, as the orchestrator starts it."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.pb import worker_pb2_grpc

ROOT = Path(__file__).parents[2]

#: Seconds after which a test that waits has failed; a start imports torch, which a busy machine takes its time over.
PATIENCE = 120.0


class WorkerProcess:
    """``python -m safelight_worker`` on the CPU with one thread, and a client of it. ``arguments`` are further ones of its
    command line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        # A socket's path may have 100 bytes; pytest's folders are longer.
        self._sockets = tempfile.TemporaryDirectory(prefix="safelight-")
        self.address = f"unix:{self._sockets.name}/worker.sock"
        self.stderr = folder / "stderr.log"
        command = [sys.executable, "-m", "safelight_worker", "--socket", f"{self._sockets.name}/worker.sock"]
        command += ["--device", "cpu:0", "--threads", "1", "--data-dir", str(folder / "data"), *arguments]
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        self.ready = json.loads(self._first_line())
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16384)]
        self.channel = grpc.insecure_channel(self.address, options)
        self.stub = worker_pb2_grpc.WorkerServiceStub(self.channel)

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=lambda out: lines.put(out.readline()), args=[self.process.stdout], daemon=True).start()
        return lines.get(timeout=PATIENCE)

    def run(self, plan: pb.ExecutionPlan) -> Any:
        """The stream of an attempt."""
        return self.stub.Run(pb.RunRequest(plan=plan), timeout=PATIENCE)

    def load(self, source: Path, model_id: str = "tiny", **named: Any) -> pb.ModelFacts:
        """Loads a model; what is told of it."""
        spec = pb.ModelSpec(id=model_id, source=str(source))
        answer: pb.LoadModelResponse = self.stub.LoadModel(pb.LoadModelRequest(model=spec, **named), timeout=PATIENCE)
        return answer.model

    def health(self) -> pb.GetHealthResponse:
        answer: pb.GetHealthResponse = self.stub.GetHealth(pb.GetHealthRequest(), timeout=PATIENCE)
        return answer

    def wait_until_idle(self) -> None:
        """Asks until no attempt is in flight; every answer takes a turn of the worker's event loop."""
        for _ in range(100_000):
            if not self.health().attempt_ids:
                return
        raise AssertionError("an attempt is still in flight")

    def terminate(self) -> None:
        """Asks it to end. Asking twice would make it end at once."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it in the middle of whatever it does."""
        self.process.kill()
        assert self.wait()[0] == -signal.SIGKILL

    def wait(self) -> tuple[int, str]:
        """Exit code, and what it wrote to stdout after the ready line. Stdin stays open: its end would kill the worker."""
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        rest = self.process.stdout.read()
        self.process.stdout.close()
        self.process.stdin.close()
        self.channel.close()
        self._sockets.cleanup()
        return code, rest

    def log(self) -> list[dict[str, Any]]:
        """The records on stderr; fails on a line that is none."""
        return [json.loads(line) for line in self.stderr.read_text().splitlines()]


def plan(source: Path, staging: Path, attempt_id: str, steps: int = 4, **changes: Any) -> pb.ExecutionPlan:
    """A small picture of one seed."""
    staging.mkdir(parents=True, exist_ok=True)
    return pb.ExecutionPlan(
        attempt_id=attempt_id,
        priority=2,
        model=pb.ModelSpec(id="tiny", source=str(source)),
        prompt=pb.Prompt(text="a red circle"),
        sampling=pb.Sampling(num_inference_steps=steps, guidance_scale=5, seeds=[7], width=64, height=64),
        output=pb.Output(staging_dir=str(staging), format=pb.OUTPUT_FORMAT_PNG),
        **changes,
    )


def until(events: Iterator[pb.RunResponse], kind: str) -> pb.RunResponse:
    """The next event of a kind."""
    return next(event for event in events if event.WhichOneof("event") == kind)


def last(events: Iterator[pb.RunResponse]) -> pb.RunResponse:
    """The event that ends a stream."""
    return list(events)[-1]


def kinds(events: Iterator[pb.RunResponse]) -> list[str]:
    """Names of the events of a stream, to its end."""
    return [str(event.WhichOneof("event")) for event in events]
