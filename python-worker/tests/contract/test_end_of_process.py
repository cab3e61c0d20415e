"""A worker ends when it is told, and when its parent does, whatever ended that."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from safelight_worker.pb import worker_pb2 as pb
from tests.support import tiny
from tests.support.process import PATIENCE, ROOT, WorkerProcess, plan

COMMAND = [sys.executable, "-m", "safelight_worker", "--device", "cpu:0", "--socket"]

#: Starts a worker, tells its process id, and waits to be killed.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
child.stderr.readline()
print(child.pid, flush=True)
child.wait()
"""


def test_sigterm_gives_attempts_back_and_ends_with_zero(tmp_path: Path) -> None:
    model = tiny.write("sd", tmp_path / "tiny")
    worker = WorkerProcess(tmp_path)
    events = worker.run(plan(model, tmp_path / "s", "given-back/1", 1000))
    next(event for event in events if event.HasField("step_finished"))
    worker.terminate()
    failure = list(events)[-1].failure
    assert failure.kind == pb.FAILURE_KIND_WORKER_STOPPING
    assert failure.phase == pb.PHASE_DENOISE
    assert failure.step >= 1
    assert failure.checkpoint.step == failure.step
    assert worker.wait() == (0, "")
    (left,) = (tmp_path / "s").iterdir()
    assert (left.name, left.stat().st_size) == (failure.checkpoint.file_name, failure.checkpoint.size_bytes)
    assert [each["msg"] for each in worker.log()][-2:] == ["draining", "stopped"]


def test_the_end_of_stdin_ends_it(tmp_path: Path) -> None:
    process = subprocess.Popen([*COMMAND, str(tmp_path / "s")], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stderr.readline()
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(PATIENCE) != 0
    process.stderr.close()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs a handle on a process that is no child")
def test_the_death_of_its_parent_ends_it(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *COMMAND, str(tmp_path / "s")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    handle = os.pidfd_open(int(parent.stdout.readline()))
    try:
        assert select.select([handle], [], [], 0)[0] == [], "it lives while its parent does"
        parent.kill()
        parent.wait(PATIENCE)
        assert select.select([handle], [], [], PATIENCE)[0] == [handle]
    finally:
        os.close(handle)
        parent.stdout.close()


@pytest.mark.parametrize("arguments", [[], ["--socket", "x"], ["--device"]], ids=["none", "no device", "no value"])
def test_a_wrong_command_line_ends_it_with_the_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "safelight_worker", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage" in done.stderr
