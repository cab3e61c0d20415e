"""How the results are told: a table for people, a JSON file for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.batching.figures import Run
from bench.batching.goals import Verdict, judge
from bench.batching.summary import Line, Round, Summary
from bench.batching.workloads import BARE
from bench.machine import BUSY_ABOVE, Machine

_NOTES = """\
  engine: submitted to the worker's engine. lock: one pipeline call at a time, from one thread, first come first served.
  threads: a thread and a request view for each job. bare: batched forwards and decodes in a plain loop, nothing else.
  Every rival but bare encodes texts, and encodes, writes and syncs PNG files, within its time. Medians of all runs, each
  rival at its better thread setting; a setting that can no longer win is not timed again.
  done: seconds from the first submission until a job's file is written. cpu s: of all the rival's threads. off: 8-bit values
  that differ from the picture made alone, and by how much at most. peak: resident memory of the whole process."""


@dataclass(frozen=True)
class Load:
    """What kept the machine busy. ``foreign_…``: processors used by others, None where the system does not tell."""

    average_before: float
    average_after: float
    foreign_before: float | None
    foreign_during: float | None

    @property
    def warning(self) -> str:
        """A sentence when the figures should not be trusted; empty otherwise."""
        others = max(self.foreign_before or 0.0, self.foreign_during or 0.0)
        if others <= BUSY_ABOVE:
            return ""
        return (
            f"The machine was busy with other work (up to {others:g} processors): these figures are not to be quoted."
        )


@dataclass(frozen=True)
class Report:
    """Everything of one run of the benchmark."""

    machine: Machine
    load: Load
    threads: tuple[int, ...]
    repeats: int
    seconds: float
    summaries: tuple[Summary, ...]
    runs: Mapping[str, Sequence[Run]]

    @property
    def verdicts(self) -> list[Verdict]:
        measures: dict[str, float | None] = {}
        for summary in self.summaries:
            measures |= summary.measures()
        return judge(measures)

    @property
    def wrong(self) -> list[str]:
        return [sentence for summary in self.summaries for sentence in summary.wrong]


def to_text(report: Report) -> str:
    """The tables, the verdicts and the machine."""
    parts = [to_table(summary) for summary in report.summaries]
    parts += [_NOTES, _verdicts(report.verdicts), _machine(report)]
    parts += [f"WRONG PICTURE  {sentence}" for sentence in report.wrong]
    if report.load.warning:
        parts.append(f"WARNING  {report.load.warning}")
    return "\n\n".join(parts)


def write_json(report: Report, file: Path) -> None:
    """All of the report, single runs included."""
    told: dict[str, Any] = {
        "machine": asdict(report.machine),
        "load": asdict(report.load) | {"warning": report.load.warning},
        "threads": report.threads,
        "repeats": report.repeats,
        "seconds": report.seconds,
        "workloads": [asdict(summary) | {"wrong": summary.wrong} for summary in report.summaries],
        "verdicts": [asdict(each.goal) | {"value": each.value, "verdict": each.words} for each in report.verdicts],
        "runs": {name: [asdict(run) for run in runs] for name, runs in report.runs.items()},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, indent=2, default=str, ensure_ascii=False) + "\n", encoding="utf-8")


def to_table(summary: Summary) -> str:
    """One workload: a block of lines for each job count."""
    head = (
        "jobs  rival    threads  images/s  seconds  (fastest … slowest)  done: mean    p95  cpu s       off      peak"
    )
    rows = [summary.workload.title(), head]
    for each in summary.rounds:
        rows += [_row(each.jobs, line) for line in each.lines]
        rows.append(f"      {_ratios(each)}")
    if summary.latent_difference is not None:
        rows.append(f"latents, batched against alone: {summary.latent_difference:.1e} of the largest")
    return "\n".join(rows)


def _row(jobs: int, line: Line) -> str:
    own = line.figure
    spread = f"({own.fastest:.3f} … {own.slowest:.3f}, {own.runs}×)"
    # The bare loop prepares its states before its clock starts, which its processor time would hide.
    cpu = "-" if own.rival == BARE else f"{own.cpu_seconds:.2f}"
    off = f"{line.deviation.differing} by {line.deviation.largest}" if line.deviation else "-"
    return (
        f"{jobs:4}  {own.rival:8} {own.threads:6}  {own.images_per_second:8.2f}  {own.seconds:7.3f}  {spread:20}"
        f"  {own.mean_completion:9.3f}  {own.p95_completion:6.3f}  {cpu:>5}  {off:>8}  {line.peak_bytes / 2**20:5.0f} MiB"
    )


def _ratios(each: Round) -> str:
    told = {
        "× lock": each.against_lock,
        "× threads": each.against_threads,
        "× the better of both": each.against_better,
        "of bare time": each.over_bare,
        "of the lock's mean wait": each.mean_over_lock,
    }
    known = [f"{value:.2f} {name}" for name, value in told.items() if value is not None]
    return f"engine: {', '.join(known)}; {each.cap} images to a forward"


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = ["row  measure                                               value    floor     goal  verdict"]
    for each in verdicts:
        goal = each.goal
        sign = "≥" if goal.better == "higher" else "≤"
        rows.append(
            f"{goal.row:4} {goal.measure:52} {each.value:8.3g}  {sign}{goal.floor:6.3g}  {sign}{goal.goal:6.3g}  {each.words}"
        )
    return "\n".join(rows)


def _and(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers))


def _machine(report: Report) -> str:
    machine, load = report.machine, report.load
    others = (
        "unknown" if load.foreign_during is None else f"{load.foreign_before:g} before, {load.foreign_during:g} during"
    )
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    waiting = ", ".join(f"{name}={value}" for name, value in machine.openmp.items()) or "OpenMP's own way of waiting"
    return "\n".join(
        (
            f"{machine.processor}, {machine.cores} cores, {machine.system}",
            f"{versions}; commit {machine.commit or 'unknown'}",
            f"{machine.began_at}; {report.repeats} runs each at {_and(report.threads)} threads, {waiting}; {report.seconds:.0f} s in all",
            f"load average {load.average_before:g} before, {load.average_after:g} after; processors used by others: {others}",
        )
    )
