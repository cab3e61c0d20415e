"""Runs jobs under one cap and climbs the ladder when the device is out of memory, from the checkpoint that was left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.memory.cases import Case
from bench.memory.ladder import Rung
from safelight_worker.engine.engine import Engine
from safelight_worker.engine.events import TERMINAL, Event, Failed, Outcome, Succeeded
from safelight_worker.types import FailureKind, ModelSpec, OutputFormat, Plan

#: Seconds after which a job that does not end is a failure. On a capped device a step may wait for weights from the host.
_PATIENCE = 900.0

#: Failures whose messages are kept.
_MESSAGES = 5


@dataclass
class Tally:
    """What became of the jobs of a case."""

    runs: int = 0
    failed: int = 0
    out_of_memory: int = 0
    """Attempts that ended so."""
    ticks_taken_apart: int = 0
    """Forwards that failed and were done again in halves, without any attempt ending."""
    resumed: int = 0
    """Attempts that went on from a checkpoint."""
    steps_kept: int = 0
    """Steps these did not have to take again."""
    rungs: dict[str, int] = field(default_factory=dict)
    """Jobs by the rung they succeeded on."""
    messages: list[str] = field(default_factory=list)


@dataclass
class _Job:
    number: int
    rung: int
    attempt: int = 0
    resume_from: Path | None = None


class Climber:
    """Belongs to one engine with one model loaded.

    Who succeeds on a rung keeps it for those who come after: a device found too small is too small for the next job, too.
    """

    def __init__(self, engine: Engine, spec: ModelSpec, case: Case, rungs: Sequence[Rung], folder: Path) -> None:
        self._engine = engine
        self._spec = spec
        self._case = case
        self._rungs = rungs
        self._folder = folder
        self._rung = 0
        self.tally = Tally()

    def run(self) -> Tally:
        """All runs of the case, as many at a time as are to be in flight."""
        counter = _TakenApart()
        ticking = logging.getLogger("safelight_worker.engine.ticking")
        ticking.addHandler(counter)
        try:
            for at in range(0, self._case.runs, self._case.together):
                numbers = range(at, min(at + self._case.together, self._case.runs))
                self._finish([_Job(number, self._rung) for number in numbers])
        finally:
            ticking.removeHandler(counter)
        self.tally.ticks_taken_apart = counter.count
        return self.tally

    def _finish(self, jobs: list[_Job]) -> None:
        """Has these jobs succeed or fail for good."""
        self.tally.runs += len(jobs)
        while jobs:
            watched = [(job, self._submit(job)) for job in jobs]
            jobs = [job for job, watch in watched if self._goes_on(job, watch.end())]

    def _submit(self, job: _Job) -> _Watch:
        job.attempt += 1
        watch = _Watch()
        self._engine.submit(self._plan(job), watch)
        return watch

    def _goes_on(self, job: _Job, outcome: Outcome | None) -> bool:
        """Notes how an attempt ended; True when the job is to be tried again on the next rung."""
        if isinstance(outcome, Succeeded):
            name = self._rungs[job.rung].name
            self.tally.rungs[name] = self.tally.rungs.get(name, 0) + 1
            self._rung = max(self._rung, job.rung)
            kept = outcome.effective.resumed_at_step
            self.tally.resumed += job.resume_from is not None
            self.tally.steps_kept += kept
            return False
        out_of_memory = isinstance(outcome, Failed) and outcome.kind is FailureKind.DEVICE_OUT_OF_MEMORY
        self.tally.out_of_memory += out_of_memory
        if out_of_memory and job.rung + 1 < len(self._rungs):
            assert isinstance(outcome, Failed)
            job.rung += 1
            if outcome.checkpoint is not None:
                job.resume_from = self._staging(job) / outcome.checkpoint.file_name
            return True
        self.tally.failed += 1
        if len(self.tally.messages) < _MESSAGES:
            self.tally.messages.append(f"run {job.number} on {self._rungs[job.rung].name}: {_told(outcome)}")
        return False

    def _staging(self, job: _Job) -> Path:
        folder = self._folder / str(job.number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _plan(self, job: _Job) -> Plan:
        rung = self._rungs[job.rung]
        return Plan(
            attempt_id=f"run-{job.number}/{job.attempt}",
            priority=0,
            model=self._spec,
            prompt=f"{job.number} red circles",
            negative_prompt="",
            num_inference_steps=self._case.steps,
            guidance_scale=5.0,
            seeds=(job.number,),
            width=self._case.side,
            height=self._case.side,
            scheduler="",
            scheduler_options={},
            staging_dir=self._staging(job),
            output_format=OutputFormat.PNG,
            quality=0,
            metadata={},
            solo=False,
            max_images=rung.max_images,
            preview_interval_ms=0,
            memory=rung.memory,
            resume_from=job.resume_from,
        )


class _Watch:
    """Waits for the end of an attempt."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._outcome: Outcome | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, TERMINAL):
            self._outcome = event
            self._over.set()

    def end(self) -> Outcome | None:
        """None: it did not end."""
        self._over.wait(_PATIENCE)
        return self._outcome


class _TakenApart(logging.Handler):
    """Counts what the engine logs when it does a forward again in halves; no event tells it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002  each one counts
        self.count += 1


def _told(outcome: Outcome | None) -> str:
    if outcome is None:
        return f"it did not end within {_PATIENCE:g} s"
    return f"{outcome.kind.value}: {outcome.message}" if isinstance(outcome, Failed) else type(outcome).__name__
