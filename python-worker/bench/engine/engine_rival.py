"""The jobs through the worker's engine: one thread that batches step by step."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

from bench.engine.rival import Burst, device_of, plan_of, spec_of, staging
from bench.engine.workloads import Workload, jobs
from safelight_worker.engine.create import create_engine
from safelight_worker.engine.engine import Engine
from safelight_worker.engine.events import TERMINAL, Event, Failed, StepFinished, Succeeded
from safelight_worker.types import Plan

#: Seconds after which jobs that do not end are a defect. A Flux picture takes three of them on a large GPU.
PATIENCE = 3600.0


class Endings:
    """Collects when each attempt ended, and how; called on the engine's threads."""

    def __init__(self, expected: int) -> None:
        self.ended_at: dict[str, float] = {}
        self.events: dict[str, Event] = {}
        self._all = threading.Event()
        self._expected = expected
        self._lock = threading.Lock()

    def tell(self, attempt_id: str, event: Event) -> None:
        now = time.perf_counter()
        if not isinstance(event, TERMINAL):
            return
        with self._lock:
            self.ended_at[attempt_id] = now
            self.events[attempt_id] = event
            if len(self.ended_at) == self._expected:
                self._all.set()

    def wait(self) -> None:
        """Raises RuntimeError when an attempt did not succeed."""
        if not self._all.wait(PATIENCE):
            raise RuntimeError(f"{len(self.ended_at)} of {self._expected} attempts ended within {PATIENCE:g} s")
        for attempt_id, event in self.events.items():
            if not isinstance(event, Succeeded):
                told = (
                    f"{event.kind.value}: {event.message}\n{event.detail}" if isinstance(event, Failed) else str(event)
                )
                raise RuntimeError(f"{attempt_id} did not succeed: {told}")  # noqa: TRY004  no wrong argument


class EngineRival:
    """Plans submitted to an engine in this process."""

    def __init__(self, workload: Workload, threads: int) -> None:
        self._workload = workload
        self._engine = create_engine(device_of(workload), workload.cache, threads)
        self.memory = self._engine.memory
        self._engine.start()
        self._loaded = [self._engine.load(spec_of(workload, n)).result() for n in range(len(workload.folders))]

    def run(self, burst: Burst) -> list[float]:
        plans = [plan_of(self._workload, job, staging(burst.folder, job), burst.exact) for job in burst.jobs]
        endings = Endings(len(plans))
        began = time.perf_counter()
        for job, plan in zip(burst.jobs, plans, strict=True):
            if job.arrives:
                time.sleep(max(0.0, began + job.arrives - time.perf_counter()))
            _submit(self._engine, plan, endings)
        endings.wait()
        return [
            endings.ended_at[plan.attempt_id] - began - job.arrives for job, plan in zip(burst.jobs, plans, strict=True)
        ]

    def caps(self) -> list[int]:
        plans = [plan_of(self._workload, job, Path()) for job in jobs(self._workload, len(self._workload.folders))]
        return [loaded.runner.row_cap(plan) for loaded, plan in zip(self._loaded, plans, strict=True)]

    def reactions(self, folder: Path, repeats: int) -> tuple[float, list[float]]:
        """Seconds of a step of one job alone, and of each cancel from the call until the attempt had ended."""
        (job,) = jobs(self._workload, 1)
        waits = []
        steps: list[float] = []
        for repeat in range(repeats):
            own = replace(job, number=repeat)
            watcher = _StepWatcher(at=2)
            self._engine.submit(plan_of(self._workload, own, staging(folder, own)), watcher)
            watcher.wait()
            began = time.perf_counter()
            self._engine.cancel(f"job-{repeat}")
            waits.append(watcher.wait_for_end() - began)
            steps += watcher.step_seconds
        return sum(steps) / len(steps), waits

    def close(self) -> None:
        self._engine.stop()


class _StepWatcher:
    """Waits for a step of an attempt, then for its end."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._times: list[float] = []
        self._reached, self._over = threading.Event(), threading.Event()
        self._ended_at = 0.0

    def __call__(self, event: Event) -> None:
        now = time.perf_counter()
        if isinstance(event, StepFinished):
            self._times.append(now)
            if event.step >= self._at:
                self._reached.set()
        elif isinstance(event, TERMINAL):
            self._ended_at = now
            self._reached.set()
            self._over.set()

    @property
    def step_seconds(self) -> list[float]:
        return [after - before for before, after in zip(self._times, self._times[1:], strict=False)]

    def wait(self) -> None:
        if not self._reached.wait(PATIENCE):
            raise RuntimeError(f"no step was finished within {PATIENCE:g} s")

    def wait_for_end(self) -> float:
        if not self._over.wait(PATIENCE):
            raise RuntimeError(f"a cancelled attempt did not end within {PATIENCE:g} s")
        return self._ended_at


def _submit(engine: Engine, plan: Plan, endings: Endings) -> None:
    engine.submit(plan, lambda event: endings.tell(plan.attempt_id, event))
