"""A slow reader loses what only the latest counts of, and never a phase or the end."""

from __future__ import annotations

import asyncio

from safelight_worker.engine.events import (
    Cancelled,
    Checkpointed,
    Event,
    PhaseStarted,
    Preview,
    StepFinished,
    Suspended,
)
from safelight_worker.service.outbox import Outbox
from safelight_worker.types import Phase


def read_late(*events: Event) -> list[Event]:
    async def run() -> list[Event]:
        outbox = Outbox(asyncio.get_running_loop())
        for event in events:
            await asyncio.to_thread(outbox.put, event)
        return [event async for event in outbox.drain()]

    return asyncio.run(run())


def test_unread_steps_give_way_to_the_latest() -> None:
    steps = [StepFinished(step, 9, 1) for step in range(1, 10)]
    assert read_late(*steps, Cancelled()) == [steps[-1], Cancelled()]


def test_unread_previews_give_way_to_the_latest_and_steps_around_them_too() -> None:
    events: list[Event] = []
    for step in range(1, 100):
        events += [StepFinished(step, 99, 1), Preview(step, b"")]
    assert read_late(*events, Cancelled()) == [StepFinished(99, 99, 1), Preview(99, b""), Cancelled()]


def test_an_unread_checkpoint_gives_way_to_the_one_that_replaced_it() -> None:
    marks = [Checkpointed("checkpoint.safetensors", step, 100 + step) for step in (2, 4, 6)]
    steps = [StepFinished(step, 9, 1) for step in (3, 7)]
    told = read_late(marks[0], marks[1], steps[0], marks[2], steps[1], Cancelled())
    assert told == [marks[2], steps[1], Cancelled()]


def test_a_suspension_is_the_end() -> None:
    ended = Suspended(Checkpointed("checkpoint.safetensors", 3, 100))
    assert read_late(StepFinished(3, 9, 1), ended, PhaseStarted(Phase.DECODE)) == [StepFinished(3, 9, 1), ended]


def test_every_phase_arrives_in_order() -> None:
    phases = [PhaseStarted(phase) for phase in Phase]
    assert read_late(*phases, Cancelled()) == [*phases, Cancelled()]


def test_a_closed_loop_is_nobody_to_tell() -> None:
    async def make() -> Outbox:
        return Outbox(asyncio.get_running_loop())

    asyncio.run(make()).put(Cancelled())
