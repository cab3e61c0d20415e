"""Events of one attempt on their way to a client that may read slower than they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from safelight_worker.engine.events import TERMINAL, Checkpointed, Event, Preview, StepFinished


class Outbox:
    """Holds at most one step, preview and checkpoint at a time, every phase, and the terminal event last. Bounded by the number of
    phases, so that no client can make the worker keep more. ``put`` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: list[Event] = []
        self._ready = asyncio.Event()

    def put(self, event: Event) -> None:
        """Adds an event, in place of an unread one of its kind where only the latest counts."""
        try:
            self._loop.call_soon_threadsafe(self._add, event)
        except RuntimeError:
            # The loop is closed: the process ends, and nobody is left to tell.
            return

    def _add(self, event: Event) -> None:
        if isinstance(event, (StepFinished, Preview, Checkpointed)):
            self._events = [each for each in self._events if type(each) is not type(event)]
        self._events.append(event)
        self._ready.set()

    async def drain(self) -> AsyncIterator[Event]:
        """Yields events up to and including the terminal one."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            events, self._events = self._events, []
            for event in events:
                yield event
                if isinstance(event, TERMINAL):
                    return
