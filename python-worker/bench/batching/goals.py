"""What the figures are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Goal:
    """A measure with its floor (must) and its goal (claim)."""

    row: str
    measure: str
    floor: float
    goal: float
    better: Better = "higher"

    @property
    def key(self) -> tuple[str, str]:
        return self.row, self.measure


@dataclass(frozen=True)
class Verdict:
    """A goal with the value it met or missed."""

    goal: Goal
    value: float

    @property
    def words(self) -> str:
        if self._holds(self.goal.goal):
            return "met"
        return "missed, above the floor" if self._holds(self.goal.floor) else "missed, below the floor"

    def _holds(self, limit: float) -> bool:
        return self.value >= limit if self.goal.better == "higher" else self.value <= limit


#: Floors and goals on two cores. Latents: largest difference relative to the largest latent, float32.
GOALS = (
    Goal("C1", "launch-bound, 8 jobs: engine against lock", 2.0, 3.5),
    Goal("C1", "launch-bound, 8 jobs: engine against threads", 2.5, 5.0),
    Goal("C1b", "model, 8 jobs: engine against the better of both", 2.2, 2.8),
    Goal("C1b", "model, 16 jobs: engine against the better of both", 2.6, 3.2),
    Goal("C1b", "model, 8 jobs: engine time over bare", 1.25, 1.10, "lower"),
    Goal("C1b", "model, 16 jobs: engine time over bare", 1.25, 1.10, "lower"),
    Goal("C2", "compute-bound, 8 jobs: engine against lock", 0.9, 1.0),
    Goal("C9", "model: batched against solo latents", 1e-4, 1e-5, "lower"),
    Goal("C9", "launch-bound: batched against solo latents", 1e-4, 1e-5, "lower"),
)


def judge(values: Mapping[str, float | None]) -> list[Verdict]:
    """A verdict for every goal whose measure was taken."""
    found = ((goal, values.get(goal.measure)) for goal in GOALS)
    return [Verdict(goal, value) for goal, value in found if value is not None]
