"""How the results are told: a table for people, a JSON file for machines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.engine.goals import Goal, Verdict, judge
from bench.engine.report import verdict_table, verdicts_as_json
from bench.machine import Load, Machine
from bench.memory.cases import GB, Case

#: Under a real cap, on CUDA. Time: a run's, retries included, over that of the uncapped case.
GOALS = tuple(
    goal
    for name in ("sd15 at 4 GB", "sd15 at 6 GB", "sd15 at 8 GB", "sdxl at 8 GB", "sdxl at 10 GB")
    for goal in (
        Goal("G12", f"{name}: failed runs", 0.0, 0.0, "lower"),
        Goal("G12", f"{name}: time over uncapped", 2.0, 1.3, "lower"),
    )
)


@dataclass(frozen=True)
class CaseReport:
    """A case with its result, as it came from its process."""

    case: Case
    result: Mapping[str, Any]

    @property
    def failed(self) -> int:
        return int(self.result["tally"]["failed"])

    @property
    def seconds_a_run(self) -> float:
        return float(self.result["seconds"]) / max(1, int(self.result["tally"]["runs"]))


@dataclass(frozen=True)
class Report:
    """Everything of one run of the benchmark."""

    machine: Machine
    load: Load
    seconds: float
    cases: tuple[CaseReport, ...]

    @property
    def failed(self) -> int:
        return sum(each.failed for each in self.cases)

    def over_uncapped(self, own: CaseReport) -> float | None:
        """Time of a run over that of the case without a cap; None where there is none or nothing was run."""
        free = next((each for each in self.cases if each.case.name == own.case.uncapped), None)
        if free is None or not free.seconds_a_run or not own.seconds_a_run:
            return None
        return own.seconds_a_run / free.seconds_a_run

    @property
    def verdicts(self) -> list[Verdict]:
        measures: dict[str, float | None] = {}
        for each in self.cases:
            measures[f"{each.case.name}: failed runs"] = float(each.failed)
            measures[f"{each.case.name}: time over uncapped"] = self.over_uncapped(each)
        return judge(measures, GOALS)


def to_text(report: Report) -> str:
    """The table, the failures, the verdicts and the machine."""
    width = max(len(each.case.name) for each in report.cases)
    rows = [
        f"{'case':{width}}  {'cap':>7}  runs  failed  out of memory  halved  resumed  steps kept      peak  s a run  × uncapped"
    ]
    for each in report.cases:
        tally, over = each.result["tally"], report.over_uncapped(each)
        cap = f"{each.case.budget_bytes / GB:g} GB" if each.case.budget_bytes else "-"
        rows.append(
            f"{each.case.name:{width}}  {cap:>7}  {tally['runs']:4}  {tally['failed']:6}  {tally['out_of_memory']:13}  "
            f"{tally['ticks_taken_apart']:6}  {tally['resumed']:7}  {tally['steps_kept']:10}  "
            f"{each.result['peak_bytes'] / 2**20:5.0f} MiB  {each.seconds_a_run:7.3f}  {'-' if over is None else f'{over:.2f}':>10}"
        )
        used = ", ".join(f"{count} on {name}" for name, count in tally["rungs"].items())
        faults = f"; injected: {each.case.faults}" if each.case.faults else ""
        rows.append(f"{'':{width}}  {used or 'no run succeeded'}{faults}")
    for each in report.cases:
        told = [each.result["refused"], *each.result["tally"]["messages"]]
        rows += [f"FAILED  {each.case.name}: {message}" for message in told if message]
    parts = ["\n".join(rows), _notes(report.cases), verdict_table(report.verdicts)]
    parts.append("\n".join((*report.machine.lines(), f"{report.seconds:.0f} s in all", report.load.line())))
    if report.load.warning:
        parts.append(f"WARNING  {report.load.warning}")
    return "\n\n".join(parts)


def to_json(report: Report) -> dict[str, Any]:
    """All of the report."""
    return {
        "machine": asdict(report.machine),
        "load": asdict(report.load) | {"warning": report.load.warning},
        "seconds": report.seconds,
        "cases": [
            each.case.as_json()
            | {"result": each.result, "seconds_a_run": each.seconds_a_run, "over_uncapped": report.over_uncapped(each)}
            for each in report.cases
        ],
        "verdicts": verdicts_as_json(report.verdicts),
    }


def _notes(cases: Sequence[CaseReport]) -> str:
    notes = """\
  out of memory: attempts that ended so; each was tried again on the next rung, from its checkpoint where it had taken a step.
  halved: forwards that failed and were done again in halves, without an attempt ending. steps kept: not taken again.
  peak: most memory of the device, weights included; without CUDA resident memory of the whole process."""
    if any(each.case.faults for each in cases):
        notes += "\n  Injected faults say where memory ends: this shows that all ends well, and nothing of a real card."
    return notes
