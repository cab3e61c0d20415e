"""From what was measured to what is claimed: figures, ratios and verdicts of a workload. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.engine.figures import Figure, figure, percentile, speedup
from bench.engine.outcome import Arrivals, Cancels, Outcome
from bench.engine.pictures import Deviation
from bench.engine.workloads import BARE, COMPILED, ENGINE, EXACT, LOCK, THREADS, Workload

#: Times the solo time within which a job that came in at random should end.
_WITHIN = 5.0

#: Seconds of a cancel that are not the step's: the call, the events, the thread that waits.
_CANCEL_SLACK = 0.005

#: Order of the lines.
_LINES = (ENGINE, EXACT, LOCK, THREADS, COMPILED, BARE)


@dataclass(frozen=True)
class Line:
    """A rival's figure with its pictures, and the fraction of the ceiling it reached, where that was measured."""

    figure: Figure
    deviation: Deviation | None
    fraction: float | None


@dataclass(frozen=True)
class Round:
    """One job count: a line for each rival and the ratios between them; None where a rival did not take part."""

    jobs: int
    caps: tuple[int, ...]
    lines: tuple[Line, ...]
    against_lock: float | None
    against_threads: float | None
    against_better: float | None
    against_compiled: float | None
    over_bare: float | None
    """Engine time divided by the bare loop's, at the engine's thread setting."""
    exact_over_engine: float | None
    """Time of the same jobs with ``exact`` divided by the time without, at the engine's thread setting."""

    def line(self, rival: str) -> Line | None:
        return next((line for line in self.lines if line.figure.rival == rival), None)

    def over(self, rival: str, field: str) -> float | None:
        """A field of the engine's figure divided by the rival's."""
        own, other = self.line(ENGINE), self.line(rival)
        if own is None or other is None or not getattr(other.figure, field):
            return None
        ratio: float = getattr(own.figure, field) / getattr(other.figure, field)
        return ratio


@dataclass(frozen=True)
class Summary:
    """A workload's claims."""

    workload: Workload
    rounds: tuple[Round, ...]
    waiting: Mapping[int, int]
    """Peak bytes of the engine by the number of jobs, where only that was asked."""
    warm_up_seconds: Mapping[str, float]
    """By rival, at one thread or the accelerator's setting; of the compiled one it is mostly compiling."""
    latent_difference: float | None
    exactness: tuple[Mapping[str, Any], ...]
    arrivals: Arrivals | None
    cancels: Cancels | None

    @property
    def wrong(self) -> list[str]:
        """Where pictures are not those their jobs asked for, one sentence each."""
        return [
            f"{self.workload.name}, {each.jobs} jobs, {line.figure.rival}: "
            f"{line.deviation.differing} values differ from the pictures made alone, by up to {line.deviation.largest}"
            for each in self.rounds
            for line in each.lines
            if line.deviation is not None and line.deviation.wrong_in(self.workload.dtype)
        ]

    @property
    def psnr(self) -> float | None:
        """Lowest of the engine's pictures against those made alone, in dB."""
        lines = [each.line(ENGINE) for each in self.rounds]
        return min((line.deviation.psnr for line in lines if line is not None and line.deviation), default=None)

    def measures(self) -> dict[str, float | None]:
        """Values by the names the goals know them by."""
        name = self.workload.name
        found: dict[str, float | None] = {f"{name}: batched against solo latents": self.latent_difference}
        for each in self.rounds:
            start = f"{name}, {each.jobs} jobs: engine"
            engine = each.line(ENGINE)
            found |= {
                f"{start} against lock": each.against_lock,
                f"{start} against threads": each.against_threads,
                f"{start} against the better of both": each.against_better,
                f"{start} against compiled": each.against_compiled,
                f"{start} time over bare": each.over_bare,
                f"{start}'s fraction of the ceiling": engine.fraction if engine else None,
                f"{start}'s images per second": engine.figure.images_per_second if engine else None,
                f"{start}'s mean completion over threads": each.over(THREADS, "mean_completion"),
                f"{start}'s mean completion over lock": each.over(LOCK, "mean_completion"),
                f"{start}'s last completion over lock": each.over(LOCK, "last_completion"),
                f"{start}'s peak memory over threads": each.over(THREADS, "peak_bytes"),
            }
        found[f"{name}: PSNR of the engine's pictures against those made alone"] = self.psnr
        if self.exactness:
            share = sum(bool(each["exact"]) for each in self.exactness) / len(self.exactness)
            found[f"{name}: models and dtypes in which exact holds bit for bit"] = share
        return found | self._memory_measures(name) | self._service_measures(name)

    def _memory_measures(self, name: str) -> dict[str, float | None]:
        peaks = {each.jobs: line.figure.peak_bytes for each in self.rounds if (line := each.line(ENGINE))}
        return {
            f"{name}: peak memory of {many} jobs over that of {few}": bytes_of_many / peaks[few]
            for many, bytes_of_many in self.waiting.items()
            for few in peaks
            if peaks[few]
        }

    def _service_measures(self, name: str) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        if self.arrivals is not None:
            solo, came = self.arrivals.solo, self.arrivals.completions
            found[f"{name}: 95th percentile over solo at 80 % load"] = percentile(came, 95) / solo
            within = sum(each <= _WITHIN * solo for each in came) / len(came)
            found[f"{name}: jobs within 5 times solo at 80 % load"] = within
        if self.cancels is not None:
            slowest = max(self.cancels.waits) - _CANCEL_SLACK
            found[f"{name}: slowest of 20 cancels, less 5 ms, in steps"] = slowest / self.cancels.step_seconds
        return found


def summarise(outcome: Outcome) -> Summary:
    """The claims that follow from an outcome."""
    workload = outcome.workload
    least = min((threads for _, threads in outcome.warm_up_seconds), default=0)
    return Summary(
        workload,
        tuple(_round(outcome, job_count) for job_count in workload.job_counts),
        {
            count: figure(runs).peak_bytes
            for count in workload.waiting_counts
            if (runs := outcome.runs_of(ENGINE, count))
        },
        {rival: seconds for (rival, threads), seconds in outcome.warm_up_seconds.items() if threads == least},
        outcome.latent_difference,
        tuple(outcome.exactness),
        outcome.arrivals,
        outcome.cancels,
    )


def _round(outcome: Outcome, job_count: int) -> Round:
    figures = {rival: figure(runs) for rival in _LINES if (runs := outcome.runs_of(rival, job_count))}
    engine = figures[ENGINE]
    # What is compared with the engine alone is compared at the engine's setting.
    for rival in (BARE, EXACT):
        if rival in figures:
            figures[rival] = figure(outcome.runs_of(rival, job_count), engine.threads)
    lock, threads, compiled = figures.get(LOCK), figures.get(THREADS), figures.get(COMPILED)
    bare, exact = figures.get(BARE), figures.get(EXACT)
    return Round(
        jobs=job_count,
        caps=tuple(outcome.caps[engine.threads]),
        lines=tuple(_line(outcome, each) for each in figures.values()),
        against_lock=speedup(engine, [lock] if lock else []),
        against_threads=speedup(engine, [threads] if threads else []),
        against_better=speedup(engine, [lock, threads]) if lock and threads else None,
        against_compiled=speedup(engine, [compiled] if compiled else []),
        over_bare=engine.seconds / bare.seconds if bare else None,
        exact_over_engine=exact.seconds / engine.seconds if exact else None,
    )


def _line(outcome: Outcome, own: Figure) -> Line:
    deviation = outcome.deviations.get((own.rival, own.threads, own.jobs))
    operations = outcome.operations.get(own.jobs)
    # The best of the settings: a rival with one thread leaves the rest of the machine unused, and that is its own doing.
    ceiling = max(outcome.ceilings.values(), default=0.0)
    fraction = operations / own.seconds / ceiling if operations and ceiling else None
    return Line(own, deviation, fraction)
