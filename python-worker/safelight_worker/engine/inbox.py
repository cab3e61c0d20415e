"""What other threads want of the engine thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from safelight_worker.types import FailureKind, WorkerError

Command = Callable[[], None]


class Inbox:
    """Commands in their order, and the wish to stop. ``take`` and ``wait`` belong to the engine thread."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._changed = threading.Condition()
        self.stopping = False

    def post(self, command: Command) -> None:
        """Adds a command and wakes the engine."""
        with self._changed:
            self._commands.append(command)
            self._changed.notify()

    def post_unless_stopping(self, make: Callable[[], Command]) -> None:
        """Adds the command that ``make`` returns. Nobody can ask for a stop between the look and the adding.

        Raises:
            WorkerError: ``worker_stopping``; ``make`` is not called then.
        """
        with self._changed:
            self.refuse_when_stopping()
            self.post(make())

    def refuse_when_stopping(self) -> None:
        """Raises WorkerError(worker_stopping) once a stop was asked for."""
        if self.stopping:
            raise WorkerError(FailureKind.WORKER_STOPPING, "the worker stops")

    def stop(self) -> None:
        """Asks the engine to end."""
        with self._changed:
            self.stopping = True
            self._changed.notify()

    def take(self) -> list[Command]:
        """All commands, oldest first."""
        with self._changed:
            commands, self._commands = self._commands, []
            return commands

    def wait(self, seconds: float) -> None:
        """Returns when there is something to do, or after ``seconds``."""
        with self._changed:
            if not self._commands and not self.stopping:
                self._changed.wait(seconds)
