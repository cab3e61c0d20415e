"""Who runs when. Where all rivals' weights fit on the device they take turns, so that a disturbance hits all alike; else one
goes when the next one comes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.engine.contestant import Contestant
from bench.engine.figures import Run, figure, hopeless
from bench.engine.outcome import Arrivals, Cancels, Outcome
from bench.engine.pictures import Deviation, compare
from bench.engine.workloads import BARE, COMPILED, ENGINE, EXACT, LOCK, THREADS, Workload, jobs

Progress = Callable[[str], None]

#: Who goes first where one goes when the next one comes: the lock draws what all are compared with, the engine measures how
#: many images share a forward, which the bare loop is told.
_ONE_BY_ONE = (LOCK, ENGINE, THREADS, COMPILED, BARE)

#: Share of what the engine can do at which jobs come in at random.
_LOAD = 0.8

#: Jobs that come in at random: enough for a 95th percentile.
_ARRIVING = 64


def contest(workload: Workload, threads: Sequence[int], repeats: int, scratch: Path, progress: Progress) -> Outcome:
    """Measures a workload. Files go under ``scratch``. Raises ContestantError when a rival fails."""
    turns = _Turns(workload, repeats, scratch, progress)
    for group in _groups(workload, threads):
        with ExitStack() as stack:
            everyone = _start(group, workload, stack, progress)
            turns.warm_up(everyone)
            turns.draw_alone(everyone)
            turns.time(everyone)
            turns.ask_the_rest(everyone)
            turns.outcome.cpu_seconds += sum(each.cpu_seconds for each in everyone)
    return turns.outcome


def _groups(workload: Workload, threads: Sequence[int]) -> list[list[tuple[str, int]]]:
    """Rivals with their thread settings that are alive at the same time."""
    if workload.together:
        return [[(rival, setting) for setting in threads for rival in workload.rivals]]
    return [[(rival, setting)] for setting in threads for rival in _ONE_BY_ONE if rival in workload.rivals]


def _start(
    wanted: Sequence[tuple[str, int]], workload: Workload, stack: ExitStack, progress: Progress
) -> list[Contestant]:
    """Imports take seconds of one processor each: as many at a time as there are processors."""
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


class _Turns:
    """What is asked of contestants, and the outcome that grows from it."""

    def __init__(self, workload: Workload, repeats: int, scratch: Path, progress: Progress) -> None:
        self.outcome = Outcome(workload)
        self._workload = workload
        self._repeats = repeats
        self._scratch = scratch
        self._solo = scratch / "solo"
        self._progress = progress

    def warm_up(self, everyone: Sequence[Contestant]) -> None:
        """One after another: the engine measures its caps here, and a neighbour at work would falsify them."""
        for each in everyone:
            self._tell(f"loading and warming up {each.label}")
            count = self._workload.most_jobs
            answer = each.ask("warm_up", count, self._scratch / "warm-up", caps=self._caps(each))
            self.outcome.warm_up_seconds[each.rival, each.threads] = float(answer["seconds"])
            if each.rival == ENGINE:
                self.outcome.caps[each.threads] = answer["caps"]

    def draw_alone(self, everyone: Sequence[Contestant]) -> None:
        """The pictures all others are compared with: plain calls, one at a time."""
        for each in everyone:
            if each.rival == LOCK and not self._solo.exists():
                for count in self._own_pictures():
                    each.ask("run", count, self._solo / str(count))

    def time(self, everyone: Sequence[Contestant]) -> None:
        for repeat in range(self._repeats):
            for job_count in self._workload.job_counts:
                for each in everyone:
                    if each.threads in self._given_up(each, job_count):
                        continue
                    self._tell(f"run {repeat + 1} of {self._repeats}, {job_count} jobs, {each.label}")
                    self._time(each, job_count, repeat, each.rival)
                    if each.rival == ENGINE:
                        self._time(each, job_count, repeat, EXACT)

    def ask_the_rest(self, everyone: Sequence[Contestant]) -> None:
        """What is asked once."""
        for each in everyone:
            if each.rival == BARE:
                self._ask_bare(each)
        engines = [each for each in everyone if each.rival == ENGINE]
        if engines:
            best = figure(self.outcome.runs_of(ENGINE, self._workload.most_jobs)).threads
            self._ask_engine(next((each for each in engines if each.threads == best), engines[0]))

    def _ask_bare(self, each: Contestant) -> None:
        self._tell(f"latents and operations, {each.label}")
        count, caps = min(self._workload.most_jobs, 8), self._caps(each)
        answer = each.ask("compare_latents", count, self._scratch, caps=caps)
        self.outcome.latent_difference = max(self.outcome.latent_difference or 0.0, float(answer["difference"]))
        self.outcome.ceilings[each.threads] = float(each.ask("ceiling", 0, self._scratch)["operations_a_second"])
        for job_count in self._workload.job_counts:
            if job_count not in self.outcome.operations:
                answer = each.ask("operations", job_count, self._scratch)
                self.outcome.operations[job_count] = int(answer["operations"])

    def _ask_engine(self, each: Contestant) -> None:
        workload, most = self._workload, self._workload.most_jobs
        for job_count in workload.waiting_counts:
            self._tell(f"{job_count} jobs waiting, {each.label}")
            self._time(each, job_count, 0, ENGINE, compared=False)
        if workload.poisson:
            self._tell(f"jobs coming in at random, {each.label}")
            solo = min(self._ask_run(each, 1, f"one-{n}").seconds for n in range(self._repeats))
            rate = _LOAD * figure(self.outcome.runs_of(ENGINE, most), each.threads).images_per_second
            came = each.ask("run", max(_ARRIVING, most), self._scratch / "random", rate=rate)
            self.outcome.arrivals = Arrivals(rate, solo, tuple(came["completions"]))
            answer = each.ask("cancels", 1, self._scratch / "cancels")
            self.outcome.cancels = Cancels(float(answer["step_seconds"]), tuple(answer["waits"]))
        if workload.exact_dtypes:
            self._tell(f"the same bits alone and in company, {each.label}")
            self.outcome.exactness = each.ask("exactness", 0, self._scratch / "exact")["exactness"]

    def _time(self, each: Contestant, job_count: int, repeat: int, as_rival: str, compared: bool = True) -> None:
        folder = f"{as_rival}-{each.threads}-{job_count}-{repeat}"
        self.outcome.runs.append(self._ask_run(each, job_count, folder, as_rival))
        if compared and as_rival != BARE:
            key = (as_rival, each.threads, job_count)
            solo = self._solo / str(job_count if self._workload.last_side else self._workload.most_jobs)
            found = compare(self._scratch / folder, solo, jobs(self._workload, job_count))
            self.outcome.deviations[key] = self.outcome.deviations.get(key, Deviation(0, 0, 0)) + found

    def _ask_run(self, each: Contestant, job_count: int, folder: str, as_rival: str = ENGINE) -> Run:
        answer = each.ask("run", job_count, self._scratch / folder, caps=self._caps(each), exact=as_rival == EXACT)
        return Run(
            as_rival,
            each.threads,
            job_count,
            tuple(answer["completions"]),
            float(answer["run_cpu_seconds"]),
            int(answer["peak_bytes"]),
        )

    def _own_pictures(self) -> Sequence[int]:
        """Job counts whose pictures are not among those of the largest one: the last job may have a size of its own."""
        return self._workload.job_counts if self._workload.last_side else (self._workload.most_jobs,)

    def _given_up(self, each: Contestant, job_count: int) -> set[int]:
        """The bare loop is compared with the engine at the engine's setting, so it runs where the engine does."""
        rival = ENGINE if each.rival == BARE else each.rival
        return hopeless(self.outcome.runs_of(rival, job_count))

    def _caps(self, each: Contestant) -> Sequence[int]:
        return self.outcome.caps.get(each.threads, ())

    def _tell(self, text: str) -> None:
        self._progress(f"{self._workload.name}: {text}")
