"""What the figures are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


#: On two cores. Latents: largest difference relative to the largest latent, float32.
ON_CPU = (
    Goal("C1", "launch-bound, 8 jobs: engine against lock", 2.0, 3.5),
    Goal("C1", "launch-bound, 8 jobs: engine against threads", 2.5, 5.0),
    Goal("C1b", "model, 8 jobs: engine against the better of both", 2.2, 2.8),
    Goal("C1b", "model, 16 jobs: engine against the better of both", 2.6, 3.2),
    Goal("C1b", "model, 8 jobs: engine time over bare", 1.25, 1.10, "lower"),
    Goal("C1b", "model, 16 jobs: engine time over bare", 1.25, 1.10, "lower"),
    Goal("C2", "compute-bound, 8 jobs: engine against lock", 0.9, 1.0),
    Goal("C9", "model: batched against solo latents", 1e-4, 1e-5, "lower"),
    Goal("C9", "launch-bound: batched against solo latents", 1e-4, 1e-5, "lower"),
    Goal("C9", "families: batched against solo latents", 1e-4, 1e-5, "lower"),
)

#: On one GPU of the H200 class, in bfloat16. Fractions are of what a large matrix product reaches in the same run.
ON_GPU = (
    Goal("G1", "sd15, 16 jobs: engine against threads", 3.0, 5.0),
    Goal("G2", "sd15, 16 jobs: engine against lock", 3.0, 4.5),
    Goal("G2", "sd15, 16 jobs: engine against compiled", 1.3, 2.0),
    Goal("G3", "sd15, 16 jobs: engine's fraction of the ceiling", 0.25, 0.40),
    Goal("G4", "sdxl, 8 jobs: engine against threads", 1.2, 1.6),
    Goal("G4", "sdxl, 8 jobs: engine against lock", 1.0, 1.6),
    Goal("G4", "sdxl, 8 jobs: engine against compiled", 1.0, 1.1),
    Goal("G5", "sdxl, 8 jobs: engine's fraction of the ceiling", 0.40, 0.55),
    Goal("G6", "flux-dev, 1 jobs: engine against lock", 1.25, 1.45),
    Goal("G6", "flux-dev, 4 jobs: engine against lock", 0.98, 1.0),
    Goal("G7", "sdxl-4-steps, 16 jobs: engine's images per second", 5.0, 8.0),
    *(
        Goal("G8", f"{model}, 8 jobs: engine's mean completion over {rival}", floor, goal, "lower")
        for model in ("sd15", "sdxl", "sd35-medium", "flux-dev")
        for rival, floor, goal in (("threads", 0.7, 0.6), ("lock", 1.1, 1.0))
    ),
    Goal("G9", "behind, 9 jobs: engine's last completion over lock", 0.5, 0.15, "lower"),
    Goal("G10", "sd15: slowest of 20 cancels, less 5 ms, in steps", 2.0, 1.0, "lower"),
    Goal("G11", "sd35-medium: peak memory of 64 jobs over that of 8", 1.05, 1.01, "lower"),
    Goal("G11", "sd35-medium, 8 jobs: engine's peak memory over threads", 0.7, 0.5, "lower"),
    *(
        Goal("G13", f"{model}: PSNR of the engine's pictures against those made alone", 35.0, 45.0)
        for model in ("sd15", "sdxl", "sd35-medium", "flux-dev")
    ),
    *(
        Goal("G13", f"{model}: models and dtypes in which exact holds bit for bit", 1.0, 1.0)
        for model in ("sd15", "sdxl", "sd35-medium", "flux-dev")
    ),
    Goal("G14", "sd15: 95th percentile over solo at 80 % load", 4.0, 3.0, "lower"),
    Goal("G14", "sd15: jobs within 5 times solo at 80 % load", 0.97, 0.99),
)

GOALS = (*ON_CPU, *ON_GPU)


def judge(values: Mapping[str, float | None], goals: Sequence[Goal] = GOALS) -> list[Verdict]:
    """A verdict for every goal whose measure was taken."""
    found = ((goal, values.get(goal.measure)) for goal in goals)
    return [Verdict(goal, value) for goal, value in found if value is not None]
