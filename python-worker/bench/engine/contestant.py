"""The parent's end of a child process: starts it, asks it, and says what it wrote when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.engine.workloads import Workload

_WORKER_ROOT = Path(__file__).parents[2]

#: Characters of a child's log that are told when it fails.
_TOLD = 4000


class ContestantError(Exception):
    """A child failed; the message holds the end of what it wrote."""


def write_pipeline(family: str, scale: str, folder: Path, *options: str) -> Path:
    """Has a child write a pipeline of random weights, so that this process needs no torch and no memory for it."""
    command = [sys.executable, "-m", "bench.models.build", family, scale, str(folder), *options]
    written = subprocess.run(command, cwd=_WORKER_ROOT, env=environment(1), capture_output=True, text=True, check=False)
    if written.returncode != 0:
        raise ContestantError(f"the {scale} {family} pipeline could not be written:\n{written.stderr[-_TOLD:]}")
    return folder


class Contestant:
    """A rival at a thread setting. Starting returns at once; the first answer waits for the imports."""

    def __init__(self, rival: str, workload: Workload, threads: int) -> None:
        self.rival = rival
        self.threads = threads
        self.cpu_seconds = 0.0
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - lives as long as the child
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.engine.child", rival, json.dumps(workload.as_json()), str(threads)],
            cwd=_WORKER_ROOT,
            env=environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    @property
    def label(self) -> str:
        return f"{self.rival} with {self.threads} thread{'s' if self.threads > 1 else ''}"

    def wait_until_imported(self) -> None:
        self._answer()

    def ask(
        self, what: str, jobs: int, folder: Path, *, caps: Sequence[int] = (), exact: bool = False, rate: float = 0.0
    ) -> dict[str, Any]:
        """One command, carried out while this waits. Raises ContestantError."""
        assert self._process.stdin is not None
        told = {"do": what, "jobs": jobs, "folder": str(folder), "caps": list(caps), "exact": exact, "rate": rate}
        try:
            self._process.stdin.write(json.dumps(told) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        answer = self._answer()
        self.cpu_seconds = float(answer["cpu_seconds"])
        return answer

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate()
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failure(self) -> ContestantError:
        code = self._process.wait()
        self._log.seek(0)
        return ContestantError(f"{self.label} ended with {code}:\n{self._log.read()[-_TOLD:]}")


def environment(threads: int) -> dict[str, str]:
    """Every pool of native threads at the same size, and no network, whatever the caller's environment says."""
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return {**os.environ, **pools, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
