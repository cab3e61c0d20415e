"""All that was measured of a workload, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.engine.figures import Run
from bench.engine.pictures import Deviation
from bench.engine.workloads import Workload


@dataclass(frozen=True)
class Arrivals:
    """Jobs that came in at random. Times in seconds; ``rate`` a second; ``solo``: one job alone."""

    rate: float
    solo: float
    completions: tuple[float, ...]


@dataclass(frozen=True)
class Cancels:
    """Seconds of one step of a job alone, and from each cancel until its attempt had ended."""

    step_seconds: float
    waits: tuple[float, ...]


@dataclass
class Outcome:
    """Filled while rivals take their turns."""

    workload: Workload
    runs: list[Run] = field(default_factory=list)
    deviations: dict[tuple[str, int, int], Deviation] = field(default_factory=dict)
    """By rival, threads and jobs; over all runs."""
    caps: dict[int, list[int]] = field(default_factory=dict)
    """Images to a forward that the engine settled on, for each model, by threads."""
    warm_up_seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    """First, short run by rival and threads: kernels chosen, and blocks compiled where they are."""
    operations: dict[int, int] = field(default_factory=dict)
    """Floating-point operations by job count."""
    ceilings: dict[int, float] = field(default_factory=dict)
    """Operations a second of a large matrix product, by threads."""
    latent_difference: float | None = None
    exactness: list[Mapping[str, Any]] = field(default_factory=list)
    arrivals: Arrivals | None = None
    cancels: Cancels | None = None
    cpu_seconds: float = 0.0
    """Processor time of all contestants."""

    def runs_of(self, rival: str, job_count: int) -> list[Run]:
        return [run for run in self.runs if run.rival == rival and run.jobs == job_count]
