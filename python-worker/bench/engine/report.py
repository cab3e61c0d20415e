"""How the results are told: tables for people, a JSON file for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.engine.figures import percentile
from bench.engine.goals import Verdict, judge
from bench.engine.outcome import Outcome
from bench.engine.summary import Line, Round, Summary
from bench.engine.workloads import BARE, COMPILED
from bench.machine import Load, Machine

_NOTES = """\
  engine: submitted to the worker's engine. exact: the same with exact set. lock: one pipeline call at a time, from one thread,
  first come first served. threads: a thread and a request view for each job. compiled: the lock with compiled blocks. bare:
  batched forwards and decodes in a plain loop, nothing else.
  Every rival but bare encodes texts, and encodes, writes and syncs PNG files, within its time. Medians of all runs, each
  rival at its best thread setting (exact and bare at the engine's); a setting that can no longer win is not timed again.
  done: seconds from the first submission until a job's file is written. cpu s: of all the rival's threads. off: 8-bit values
  that differ from the picture made alone, and by how much at most. peak: most memory of the device, weights included; on a CPU
  resident memory of the whole process. ceiling: share of the operations a second that a large matrix product reaches."""

_HEAD = "jobs  rival    threads  images/s  seconds  (fastest … slowest)  done: mean    p95  cpu s         off       peak  ceiling"


@dataclass(frozen=True)
class Report:
    """Everything of one run of the benchmark."""

    machine: Machine
    load: Load
    threads: tuple[int, ...]
    repeats: int
    seconds: float
    summaries: tuple[Summary, ...]
    outcomes: tuple[Outcome, ...]

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
    parts += [_NOTES, verdict_table(report.verdicts), _machine(report)]
    parts += [f"WRONG PICTURE  {sentence}" for sentence in report.wrong]
    if report.load.warning:
        parts.append(f"WARNING  {report.load.warning}")
    return "\n\n".join(parts)


def to_json(report: Report) -> dict[str, Any]:
    """All of the report, single runs included."""
    return {
        "machine": asdict(report.machine),
        "load": asdict(report.load) | {"warning": report.load.warning},
        "threads": report.threads,
        "repeats": report.repeats,
        "seconds": report.seconds,
        "workloads": [
            asdict(summary) | {"wrong": summary.wrong, "measures": summary.measures()} for summary in report.summaries
        ],
        "operations": {each.workload.name: each.operations for each in report.outcomes},
        "operations_a_second": {each.workload.name: each.ceilings for each in report.outcomes},
        "verdicts": verdicts_as_json(report.verdicts),
        "runs": {each.workload.name: [asdict(run) for run in each.runs] for each in report.outcomes},
    }


def write_json(told: Mapping[str, Any], file: Path) -> None:
    """Writes a report, making its folder when missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, indent=2, default=str, ensure_ascii=False) + "\n", encoding="utf-8")


def verdicts_as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    return [asdict(each.goal) | {"value": each.value, "verdict": each.words} for each in verdicts]


def to_table(summary: Summary) -> str:
    """One workload: a block of lines for each job count, then what was asked once."""
    rows = [summary.workload.title(), _HEAD]
    for each in summary.rounds:
        rows += [_row(each.jobs, line) for line in each.lines]
        rows.append(f"      {_ratios(each)}")
    rows += _once(summary)
    return "\n".join(rows)


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """A line for each goal that was measured."""
    if not verdicts:
        return "No goal is set for what was measured."
    width = max(len(each.goal.measure) for each in verdicts)
    rows = [f"row   {'measure':{width}}     value      floor       goal  verdict"]
    for each in verdicts:
        goal = each.goal
        sign = "≥" if goal.better == "higher" else "≤"
        numbers = f"{each.value:8.3g}  {sign}{goal.floor:8.3g}  {sign}{goal.goal:8.3g}"
        rows.append(f"{goal.row:4}  {goal.measure:{width}}  {numbers}  {each.words}")
    return "\n".join(rows)


def _once(summary: Summary) -> list[str]:
    rows = []
    if summary.latent_difference is not None:
        rows.append(f"latents, batched against alone: {summary.latent_difference:.1e} of the largest")
    if summary.psnr is not None:
        rows.append(f"pictures of the engine against those made alone: {summary.psnr:.1f} dB or more")
    rows += [_exactness(found) for found in summary.exactness]
    if COMPILED in summary.warm_up_seconds:
        told = ", ".join(f"{rival} {seconds:.1f} s" for rival, seconds in summary.warm_up_seconds.items())
        rows.append(f"first run of {summary.workload.most_jobs} jobs and 3 steps, compiling included: {told}")
    for count, peak in summary.waiting.items():
        rows.append(f"{count} jobs: peak {peak / 2**20:.0f} MiB")
    if summary.arrivals is not None:
        came = summary.arrivals
        rows.append(
            f"{len(came.completions)} jobs at random, {came.rate:.2f} a second (80 % load): 95th percentile "
            f"{percentile(came.completions, 95):.3f} s, slowest {max(came.completions):.3f} s, one alone {came.solo:.3f} s"
        )
    if summary.cancels is not None:
        waits, step = summary.cancels.waits, summary.cancels.step_seconds
        rows.append(f"{len(waits)} cancels: slowest {max(waits) * 1000:.1f} ms, a step takes {step * 1000:.1f} ms")
    return rows


def _exactness(found: Mapping[str, Any]) -> str:
    return (
        f"exact, {found['model']} in {found['dtype']}, {found['images_to_a_forward']} images to a forward: "
        f"{_alike(found['exact'], found['exact_difference'])} alone and in company; "
        f"without exact: {_alike(found['ordinary'], found['ordinary_difference'])}"
    )


def _alike(same: bool, difference: float) -> str:
    return "bit for bit the same" if same else f"off by up to {difference:.1e} of 1"


def _row(jobs: int, line: Line) -> str:
    own = line.figure
    spread = f"({own.fastest:.3f} … {own.slowest:.3f}, {own.runs}×)"
    # The bare loop prepares its states before its clock starts, which its processor time would hide.
    cpu = "-" if own.rival == BARE else f"{own.cpu_seconds:.2f}"
    off = f"{line.deviation.differing} by {line.deviation.largest}" if line.deviation else "-"
    fraction = "-" if line.fraction is None else f"{100 * line.fraction:.1f} %"
    return (
        f"{jobs:4}  {own.rival:8} {own.threads:6}  {own.images_per_second:8.2f}  {own.seconds:7.3f}  {spread:20}"
        f"  {own.mean_completion:9.3f}  {own.p95_completion:6.3f}  {cpu:>5}  {off:>10}  {own.peak_bytes / 2**20:5.0f} MiB"
        f"  {fraction:>7}"
    )


def _ratios(each: Round) -> str:
    told = {
        "× lock": each.against_lock,
        "× threads": each.against_threads,
        "× the better of both": each.against_better,
        "× compiled": each.against_compiled,
        "of bare time": each.over_bare,
        "of the lock's mean wait": each.over("lock", "mean_completion"),
        "as long with exact": each.exact_over_engine,
    }
    known = [f"{value:.2f} {name}" for name, value in told.items() if value is not None]
    return f"engine: {', '.join(known)}; {_and(each.caps)} images to a forward"


def _and(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers))


def _machine(report: Report) -> str:
    runs = f"{report.repeats} runs each at {_and(report.threads)} threads; {report.seconds:.0f} s in all"
    return "\n".join((*report.machine.lines(), runs, report.load.line()))
