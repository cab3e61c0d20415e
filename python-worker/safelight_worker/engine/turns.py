"""Which phase a model works in, when its phases take turns on the device.

A model whose weights do not fit together brings its text encoders, its denoiser and its VAE in one after the other. Going back
and forth for every image would take longer than computing: so it stays in a phase while that has work, for a while at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from safelight_worker.types import Phase

#: Seconds in a phase while another waits. Bringing a denoiser in takes 0.1 to 1 s over PCIe; this keeps that below a third.
QUANTUM_SECONDS = 3.0

#: In the order of an attempt, so that the oldest work goes on first when a turn ends.
_CYCLE = (Phase.DENOISE, Phase.DECODE, Phase.ENCODE)


@dataclass
class _Turn:
    phase: Phase
    since: float


class Turns:
    """By model. Belongs to the engine thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, quantum: float = QUANTUM_SECONDS) -> None:
        self._clock = clock
        self._quantum = quantum
        self._turns: dict[Hashable, _Turn] = {}

    def take(self, model: Hashable, work: Mapping[Phase, bool]) -> Phase:
        """The phase whose turn it is. ``work`` tells which of ENCODE, DENOISE and DECODE have any."""
        now = self._clock()
        turn = self._turns.get(model)
        if turn is None:
            turn = self._turns[model] = _Turn(Phase.ENCODE, now)
        is_over = now - turn.since >= self._quantum
        if is_over or not work.get(turn.phase):
            at = _CYCLE.index(turn.phase)
            others = [phase for phase in (*_CYCLE[at + 1 :], *_CYCLE[:at]) if work.get(phase)]
            if others:
                turn.phase, turn.since = others[0], now
        return turn.phase
