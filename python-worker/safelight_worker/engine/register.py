"""Which attempts are in flight, and in which order they are taken up."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from safelight_worker.engine.attempt import Attempt
from safelight_worker.engine.events import Sink
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.types import FailureKind, Phase, Plan, WorkerError

#: Attempts held at a time. The orchestrator submits what the device has permits for; more than this is a defect of it.
MAX_IN_FLIGHT = 1024


class Register:
    """All methods may be called from any thread; ``opening``, ``waiting`` and ``running`` belong to the engine thread."""

    def __init__(self, memory: MemoryProbe, capacity: int = MAX_IN_FLIGHT) -> None:
        self._memory = memory
        self._capacity = capacity
        self._lock = threading.Lock()
        self._attempts: dict[str, Attempt] = {}
        self._numbers = itertools.count(1)
        self.opening: list[Attempt] = []
        """Those whose pictures are being decoded."""
        self.waiting: list[Attempt] = []
        self.running: list[Attempt] = []

    def add(self, plan: Plan, sink: Sink) -> Attempt:
        """A new attempt, in flight from here on.

        Raises:
            WorkerError: ``invalid_request`` when one of that id is in flight, ``internal`` when there are too many.
        """
        with self._lock:
            if plan.attempt_id in self._attempts:
                message = f"attempt {plan.attempt_id} is in flight already"
                raise WorkerError(FailureKind.INVALID_REQUEST, message, "attempt_id")
            if len(self._attempts) >= self._capacity:
                raise WorkerError(FailureKind.INTERNAL, f"{self._capacity} attempts are in flight; no more are taken")
            interval = plan.preview_interval_ms
            attempt = Attempt(plan, sink, self._memory, next(self._numbers), preview_interval_ms=interval)
            self._attempts[plan.attempt_id] = attempt
            return attempt

    def find(self, attempt_id: str) -> Attempt | None:
        """The attempt in flight of that id."""
        with self._lock:
            return self._attempts.get(attempt_id)

    def all(self) -> list[Attempt]:
        """Those in flight, oldest first."""
        with self._lock:
            return list(self._attempts.values())

    def forget(self, attempt: Attempt) -> None:
        """It is not in flight any more; its id may come again."""
        with self._lock:
            self._attempts.pop(attempt.id, None)

    def queue(self, attempt: Attempt) -> None:
        """Puts an attempt among the waiting: the most urgent and oldest first."""
        self.opening = [each for each in self.opening if each is not attempt]
        self.waiting.append(attempt)
        self.waiting.sort(key=lambda each: each.rank)

    def take_up(self, count: int, may_begin: Callable[[Attempt], bool]) -> list[Attempt]:
        """Moves the next few that may begin from waiting to running."""
        taken = [attempt for attempt in self.waiting if may_begin(attempt)][:count]
        self.waiting = [attempt for attempt in self.waiting if attempt not in taken]
        self.running += taken
        return taken

    def put_back(self, attempt: Attempt) -> None:
        """Moves one that cannot begin yet from running to waiting."""
        self.running = [each for each in self.running if each is not attempt]
        self.queue(attempt)

    def drop(self, attempt: Attempt) -> None:
        """Neither waits nor runs any more."""
        self.opening = [each for each in self.opening if each is not attempt]
        self.waiting = [each for each in self.waiting if each is not attempt]
        self.running = [each for each in self.running if each is not attempt]

    def latest_phase(self) -> Phase | None:
        """Phase of the oldest attempt that has one."""
        return next((attempt.phase for attempt in self.all() if attempt.phase is not None), None)
