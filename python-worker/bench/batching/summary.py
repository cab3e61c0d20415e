"""From what was measured to what is claimed: figures, ratios and verdicts of a workload. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.batching.contest import Outcome
from bench.batching.figures import Figure, figure, speedup
from bench.batching.pictures import Deviation
from bench.batching.workloads import BARE, ENGINE, LOCK, THREADS, Workload


@dataclass(frozen=True)
class Line:
    """A rival's figure with its pictures and its memory."""

    figure: Figure
    deviation: Deviation | None
    peak_bytes: int


@dataclass(frozen=True)
class Round:
    """One job count: a line for each rival and the ratios between them; None where a rival did not take part."""

    jobs: int
    cap: int
    lines: tuple[Line, ...]
    against_lock: float | None
    against_threads: float | None
    against_better: float | None
    over_bare: float | None
    """Engine time divided by the bare loop's, at the engine's thread setting."""
    mean_over_lock: float | None
    """Mean completion divided by the lock's."""


@dataclass(frozen=True)
class Summary:
    """A workload's claims."""

    workload: Workload
    rounds: tuple[Round, ...]
    latent_difference: float | None

    @property
    def wrong(self) -> list[str]:
        """Where pictures are not those their jobs asked for, one sentence each."""
        return [
            f"{self.workload.name}, {each.jobs} jobs, {line.figure.rival}: "
            f"{line.deviation.differing} values differ from the pictures made alone, by up to {line.deviation.largest}"
            for each in self.rounds
            for line in each.lines
            if line.deviation is not None and line.deviation.wrong
        ]

    def measures(self) -> dict[str, float | None]:
        """Values by the names the goals know them by."""
        name = self.workload.name
        found: dict[str, float | None] = {f"{name}: batched against solo latents": self.latent_difference}
        for each in self.rounds:
            start = f"{name}, {each.jobs} jobs: engine"
            found[f"{start} against lock"] = each.against_lock
            found[f"{start} against threads"] = each.against_threads
            found[f"{start} against the better of both"] = each.against_better
            found[f"{start} time over bare"] = each.over_bare
        return found


def summarise(outcome: Outcome) -> Summary:
    """The claims that follow from an outcome."""
    rounds = tuple(_round(outcome, job_count) for job_count in outcome.workload.job_counts)
    return Summary(outcome.workload, rounds, outcome.latent_difference)


def _round(outcome: Outcome, job_count: int) -> Round:
    figures = {rival: figure(runs) for rival in outcome.workload.rivals if (runs := outcome.runs_of(rival, job_count))}
    engine = figures[ENGINE]
    if BARE in figures:
        figures[BARE] = figure(outcome.runs_of(BARE, job_count), engine.threads)
    lock, threads = figures.get(LOCK), figures.get(THREADS)
    bare = figures.get(BARE)
    return Round(
        jobs=job_count,
        cap=outcome.caps[engine.threads],
        lines=tuple(_line(outcome, each) for each in figures.values()),
        against_lock=speedup(engine, [lock] if lock else []),
        against_threads=speedup(engine, [threads] if threads else []),
        against_better=speedup(engine, [lock, threads]) if lock and threads else None,
        over_bare=engine.seconds / bare.seconds if bare else None,
        mean_over_lock=engine.mean_completion / lock.mean_completion if lock else None,
    )


def _line(outcome: Outcome, own: Figure) -> Line:
    deviation = outcome.deviations.get((own.rival, own.threads, own.jobs))
    return Line(own, deviation, outcome.peak_bytes[own.rival, own.threads])
