"""Holding a thread at a chosen call, so that a test says what happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.engines import PATIENCE


class Gate:
    """The thread that comes to it waits until it is opened."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def stop_here(self) -> None:
        self._reached.set()
        assert self._open.wait(PATIENCE), "the gate was never opened"

    def wait_reached(self) -> None:
        assert self._reached.wait(PATIENCE), "nobody came to the gate"

    def open(self) -> None:
        self._open.set()


@contextmanager
def held(owner: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> Iterator[Gate]:
    """The first call of ``owner.name`` whose arguments are wanted waits at the gate before it does its work. Leaving
    opens the gate and puts the method back."""
    gate, original, used = Gate(), getattr(owner, name), threading.Event()

    def waiting(*arguments: Any, **named: Any) -> Any:
        if used.is_set() or not when(*arguments, **named):
            return original(*arguments, **named)
        used.set()
        gate.stop_here()
        return original(*arguments, **named)

    setattr(owner, name, waiting)
    try:
        yield gate
    finally:
        gate.open()
        setattr(owner, name, original)


@contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """``owner.name`` is ``make(original)`` inside."""
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)
