"""From timed runs to figures: medians, the better thread setting, ratios. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

#: After its first run a setting this many times slower than the rival's other one is not timed again.
HOPELESS = 1.3


@dataclass(frozen=True)
class Run:
    """One timed run. ``completions``: seconds from the first submission until each job was done."""

    rival: str
    threads: int
    jobs: int
    completions: tuple[float, ...]
    cpu_seconds: float = 0.0
    """Processor time of all the rival's threads; more than the work needs where threads wait by spinning."""
    peak_bytes: int = 0
    """Most memory of the device while it ran, weights included; on a CPU that of the whole process."""

    @property
    def seconds(self) -> float:
        """Until the last job was done."""
        return max(self.completions)


@dataclass(frozen=True)
class Figure:
    """A rival at its better thread setting. Times in seconds, medians over the runs."""

    rival: str
    threads: int
    jobs: int
    runs: int
    seconds: float
    fastest: float
    slowest: float
    mean_completion: float
    p95_completion: float
    cpu_seconds: float
    peak_bytes: int
    last_completion: float
    """Of the job submitted last."""
    others: dict[int, float] = field(default_factory=dict)
    """Median seconds at the thread settings not taken."""

    @property
    def images_per_second(self) -> float:
        return self.jobs / self.seconds


def figure(runs: Sequence[Run], threads: int | None = None) -> Figure:
    """The figure of one rival at one job count, from runs at several thread settings.

    ``threads``: take this setting whatever its time; by default the one with the lowest median among those that were not
    given up.
    """
    by_threads: dict[int, list[Run]] = {}
    for run in runs:
        by_threads.setdefault(run.threads, []).append(run)
    medians = {each: statistics.median(run.seconds for run in its) for each, its in by_threads.items()}
    most = max(len(its) for its in by_threads.values())
    eligible = [each for each, its in by_threads.items() if len(its) == most]
    best = min(eligible, key=lambda each: medians[each]) if threads is None else threads
    own = by_threads[best]
    return Figure(
        rival=own[0].rival,
        threads=best,
        jobs=own[0].jobs,
        runs=len(own),
        seconds=medians[best],
        fastest=min(run.seconds for run in own),
        slowest=max(run.seconds for run in own),
        mean_completion=statistics.median(statistics.fmean(run.completions) for run in own),
        p95_completion=statistics.median(percentile(run.completions, 95) for run in own),
        cpu_seconds=statistics.median(run.cpu_seconds for run in own),
        peak_bytes=max(run.peak_bytes for run in own),
        last_completion=statistics.median(run.completions[-1] for run in own),
        others={each: median for each, median in medians.items() if each != best},
    )


def hopeless(runs: Sequence[Run]) -> set[int]:
    """Thread settings that cannot win any more, judged by the fastest run of each."""
    fastest: dict[int, float] = {}
    for run in runs:
        fastest[run.threads] = min(run.seconds, fastest.get(run.threads, math.inf))
    return {threads for threads, seconds in fastest.items() if seconds > HOPELESS * min(fastest.values())}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def speedup(engine: Figure, rivals: Sequence[Figure]) -> float | None:
    """How many times faster the engine was than the fastest of these; None when none of them ran."""
    return min(rival.seconds for rival in rivals) / engine.seconds if rivals else None
