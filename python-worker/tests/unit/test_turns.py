"""Phases that do not fit on the device together take turns: few changes, and nobody waits for good."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from safelight_worker.engine.turns import Turns
from safelight_worker.types import Phase

QUANTUM = 3.0
ENCODE, DENOISE, DECODE = Phase.ENCODE, Phase.DENOISE, Phase.DECODE


class Clock:
    """Stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turns(clock: Clock) -> Turns:
    return Turns(clock, QUANTUM)


def work(*phases: Phase) -> dict[Phase, bool]:
    return {phase: phase in phases for phase in (ENCODE, DENOISE, DECODE)}


def test_what_waits_is_encoded_before_the_first_step(turns: Turns) -> None:
    assert turns.take("model", work(ENCODE, DENOISE)) is ENCODE
    assert turns.take("model", work(ENCODE, DENOISE)) is ENCODE
    assert turns.take("model", work(DENOISE)) is DENOISE


def test_a_phase_goes_on_while_it_has_work_and_its_time_is_not_up(turns: Turns, clock: Clock) -> None:
    turns.take("model", work(DENOISE))
    for _ in range(10):
        clock.now += QUANTUM / 11
        assert turns.take("model", work(ENCODE, DENOISE, DECODE)) is DENOISE


def test_a_finished_picture_is_decoded_when_the_time_of_the_steps_is_up(turns: Turns, clock: Clock) -> None:
    turns.take("model", work(DENOISE))
    clock.now += QUANTUM - 0.01
    assert turns.take("model", work(DENOISE, DECODE)) is DENOISE
    clock.now += 0.01
    assert turns.take("model", work(DENOISE, DECODE)) is DECODE


def test_a_phase_that_was_alone_for_long_makes_way_at_once(turns: Turns, clock: Clock) -> None:
    turns.take("model", work(DENOISE))
    clock.now += 10 * QUANTUM
    assert turns.take("model", work(DENOISE)) is DENOISE
    assert turns.take("model", work(DENOISE, ENCODE)) is ENCODE


def test_one_that_made_way_comes_back_for_a_whole_turn(turns: Turns, clock: Clock) -> None:
    turns.take("model", work(DENOISE))
    clock.now += 10 * QUANTUM
    assert turns.take("model", work(DENOISE, DECODE)) is DECODE
    assert turns.take("model", work(DENOISE)) is DENOISE
    clock.now += QUANTUM - 0.01
    assert turns.take("model", work(DENOISE, DECODE)) is DENOISE


def test_turns_end_in_the_order_of_an_attempt(turns: Turns, clock: Clock) -> None:
    seen = [turns.take("model", work(ENCODE, DENOISE, DECODE))]
    for _ in range(6):
        clock.now += QUANTUM
        seen.append(turns.take("model", work(ENCODE, DENOISE, DECODE)))
    assert seen == [ENCODE, DENOISE, DECODE] * 2 + [ENCODE]


def test_nothing_to_do_changes_nothing(turns: Turns, clock: Clock) -> None:
    turns.take("model", work(DECODE))
    clock.now += 10 * QUANTUM
    assert turns.take("model", work()) is DECODE
    assert turns.take("model", {}) is DECODE


def test_models_take_their_turns_by_themselves(turns: Turns, clock: Clock) -> None:
    turns.take("one", work(DENOISE))
    clock.now += QUANTUM
    turns.take("other", work(DENOISE))
    assert turns.take("one", work(DENOISE, DECODE)) is DECODE
    assert turns.take("other", work(DENOISE, DECODE)) is DENOISE


@dataclass
class Line:
    """A model under arrivals twice a second: each attempt is encoded, takes its steps together with the others, is decoded."""

    clock: Clock
    turns: Turns
    steps: int = 60
    waiting: list[float] = field(default_factory=list)
    denoising: list[tuple[float, int]] = field(default_factory=list)
    finished: list[tuple[float, float]] = field(default_factory=list)
    told: list[Phase] = field(default_factory=list)
    waits_for_decoding: list[float] = field(default_factory=list)
    whole_times: list[float] = field(default_factory=list)

    def go_round(self) -> None:
        has = {ENCODE: self.waiting, DENOISE: self.denoising, DECODE: self.finished}
        phase = self.turns.take("model", {name: bool(each) for name, each in has.items()})
        self.told.append(phase)
        if phase is ENCODE and self.waiting:
            self.clock.now += 0.05
            self.denoising.append((self.waiting.pop(0), self.steps))
        elif phase is DENOISE and self.denoising:
            self.clock.now += 0.1
            left = [(came, steps - 1) for came, steps in self.denoising]
            self.finished += [(came, self.clock.now) for came, steps in left if steps == 0]
            self.denoising = [(came, steps) for came, steps in left if steps > 0]
        elif self.finished:
            came, done = self.finished.pop(0)
            self.waits_for_decoding.append(self.clock.now - done)
            self.clock.now += 0.1
            self.whole_times.append(self.clock.now - came)
        else:
            self.clock.now += 0.01

    @property
    def changes(self) -> int:
        return sum(one is not other for one, other in zip(self.told, self.told[1:], strict=False))


SECONDS = 300


def busy(clock: Clock, turns: Turns) -> Line:
    line, began, next_arrival = Line(clock, turns), clock.now, clock.now
    while clock.now < began + SECONDS:
        while next_arrival <= clock.now:
            line.waiting.append(next_arrival)
            next_arrival += 0.5
        line.go_round()
    return line


def test_under_steady_arrivals_changes_are_few_and_nobody_starves(turns: Turns, clock: Clock) -> None:
    line = busy(clock, turns)
    # Three in a cycle, and a cycle holds a whole turn of the steps.
    assert line.changes <= 3 * SECONDS / QUANTUM + 3
    assert len(line.whole_times) > 500
    # It finished within the turn of the steps; those decoded before it take a tenth of a second each.
    assert max(line.waits_for_decoding) <= QUANTUM + 1.0
    # Six seconds of steps in turns of three: two cycles, and as long again for coming and going.
    assert max(line.whole_times) <= 5 * QUANTUM


def test_without_a_quantum_changes_are_many(clock: Clock) -> None:
    assert busy(clock, Turns(clock, 0.0)).changes > 2 * (3 * SECONDS / QUANTUM + 3)
