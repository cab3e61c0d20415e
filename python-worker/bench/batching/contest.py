"""Who runs when: all rivals of a workload in turn, so that a disturbance hits all alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.batching.contestant import Contestant
from bench.batching.figures import Run, hopeless
from bench.batching.pictures import Deviation, compare
from bench.batching.workloads import BARE, ENGINE, LOCK, Workload, jobs

Progress = Callable[[str], None]


@dataclass
class Outcome:
    """All that was measured of a workload."""

    workload: Workload
    runs: list[Run] = field(default_factory=list)
    deviations: dict[tuple[str, int, int], Deviation] = field(default_factory=dict)
    """By rival, threads and jobs; over all runs."""
    peak_bytes: dict[tuple[str, int], int] = field(default_factory=dict)
    """By rival and threads: of the whole process, interpreter and libraries included."""
    caps: dict[int, int] = field(default_factory=dict)
    """Images to a forward that the engine settled on, by threads."""
    latent_difference: float | None = None
    cpu_seconds: float = 0.0
    """Processor time of all contestants."""

    def runs_of(self, rival: str, job_count: int) -> list[Run]:
        return [run for run in self.runs if run.rival == rival and run.jobs == job_count]


def contest(workload: Workload, threads: Sequence[int], repeats: int, scratch: Path, progress: Progress) -> Outcome:
    """Measures a workload. Files go under ``scratch``. Raises ContestantError when a rival fails."""
    outcome = Outcome(workload)
    with ExitStack() as stack:
        everyone = _start(workload, threads, stack, progress)
        _warm_up(everyone, outcome, scratch, progress)
        solo = scratch / "solo"
        for each in everyone:
            if each.rival == LOCK and each.threads == threads[0]:
                each.ask("run", max(workload.job_counts), solo)
        for repeat in range(repeats):
            for job_count in workload.job_counts:
                for each in everyone:
                    if each.threads in _given_up(each, outcome, job_count):
                        continue
                    progress(f"{workload.name}: run {repeat + 1} of {repeats}, {job_count} jobs, {_label(each)}")
                    _time(each, job_count, outcome, scratch / f"{each.rival}-{each.threads}-{job_count}-{repeat}", solo)
        _compare_latents(everyone, outcome, scratch)
        outcome.peak_bytes = {(each.rival, each.threads): each.peak_bytes for each in everyone}
        outcome.cpu_seconds = sum(each.cpu_seconds for each in everyone)
    return outcome


def _start(workload: Workload, threads: Sequence[int], stack: ExitStack, progress: Progress) -> list[Contestant]:
    """Imports take seconds of one processor each: as many at a time as there are processors."""
    wanted = [(rival, setting) for setting in threads for rival in workload.rivals]
    at_a_time = os.cpu_count() or 1
    everyone: list[Contestant] = []
    for at in range(0, len(wanted), at_a_time):
        progress(f"{workload.name}: starting processes, {at} of {len(wanted)}")
        started = [
            stack.enter_context(Contestant(rival, workload, setting)) for rival, setting in wanted[at : at + at_a_time]
        ]
        for each in started:
            each.wait_until_imported()
        everyone += started
    return everyone


def _warm_up(everyone: Sequence[Contestant], outcome: Outcome, scratch: Path, progress: Progress) -> None:
    """One after another: the engine measures its caps here, and a neighbour at work would falsify them."""
    for each in everyone:
        progress(f"{outcome.workload.name}: loading and warming up {_label(each)}")
        answer = each.ask(
            "warm_up", max(outcome.workload.job_counts), scratch / "warm-up", outcome.caps.get(each.threads, 0)
        )
        if each.rival == ENGINE:
            outcome.caps[each.threads] = int(answer["cap"])


def _given_up(each: Contestant, outcome: Outcome, job_count: int) -> set[int]:
    """The bare loop is compared with the engine at the engine's setting, so it runs where the engine does."""
    rival = ENGINE if each.rival == BARE else each.rival
    return hopeless(outcome.runs_of(rival, job_count))


def _time(each: Contestant, job_count: int, outcome: Outcome, folder: Path, solo: Path) -> None:
    answer = each.ask("run", job_count, folder, outcome.caps.get(each.threads, 0))
    outcome.runs.append(
        Run(each.rival, each.threads, job_count, tuple(answer["completions"]), float(answer["run_cpu_seconds"]))
    )
    if each.rival != BARE:
        key = (each.rival, each.threads, job_count)
        found = compare(folder, solo, jobs(job_count))
        outcome.deviations[key] = outcome.deviations.get(key, Deviation(0, 0, 0)) + found


def _compare_latents(everyone: Sequence[Contestant], outcome: Outcome, scratch: Path) -> None:
    """Once for each thread setting; the largest counts."""
    for each in everyone:
        if each.rival == BARE:
            cap = outcome.caps.get(each.threads, 0)
            answer = each.ask("compare_latents", min(outcome.workload.job_counts), scratch, cap)
            outcome.latent_difference = max(outcome.latent_difference or 0.0, float(answer["difference"]))


def _label(each: Contestant) -> str:
    return f"{each.rival} with {each.threads} thread{'s' if each.threads > 1 else ''}"
