"""``python -m bench.memory``: many runs under a memory cap, climbing to cheaper plans where they do not fit.

Exit codes: 0 every run succeeded, 1 some failed, 2 could not be measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import machine
from bench.engine.contestant import ContestantError, environment, write_pipeline
from bench.engine.report import write_json
from bench.memory.cases import Case, cases
from bench.memory.report import CaseReport, Report, to_json, to_text
from bench.progress import progress

_WORKER_ROOT = Path(__file__).parents[2]

#: Runs of a case: enough on CUDA to see one failure in a thousand, elsewhere to see that faults are survived.
_RUNS, _RUNS_ELSEWHERE, _RUNS_QUICK = 1000, 40, 4

#: Characters of a process's log that are told when it fails.
_TOLD = 4000


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    began = time.monotonic()
    facts, watch = machine.describe(options.device), machine.LoadWatch()
    try:
        with tempfile.TemporaryDirectory(prefix="safelight-bench-", dir=options.scratch) as scratch:
            measured = _measure(options, Path(scratch))
    except ContestantError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    own = sum(float(each.result["cpu_seconds"]) for each in measured)
    report = Report(facts, watch.end(own), time.monotonic() - began, tuple(measured))
    progress("")
    print(to_text(report))
    if options.json:
        write_json(to_json(report), options.json)
    return 1 if report.failed else 0


def _measure(options: argparse.Namespace, scratch: Path) -> list[CaseReport]:
    wanted = [each for each in cases(options.device, options.runs, options.together) if options.case in each.name]
    if not wanted:
        raise ContestantError(f"no case of {options.device} has {options.case!r} in its name")
    written: dict[str, Path] = {}
    measured = []
    for number, case in enumerate(wanted):
        if case.family not in written:
            progress(f"{case.name}: writing weights")
            told = ("--device", case.device, "--dtype", case.dtype)
            written[case.family] = write_pipeline(case.family, case.scale, scratch / case.family, *told)
        progress(f"{case.name}: {case.runs} runs, case {number + 1} of {len(wanted)}")
        measured.append(_run(replace(case, folder=written[case.family])))
    return measured


def _run(case: Case) -> CaseReport:
    command = [sys.executable, "-m", "bench.memory.run_case", json.dumps(case.as_json())]
    # One thread a process: several are many times slower than one beside other busy processes.
    done = subprocess.run(command, cwd=_WORKER_ROOT, env=environment(1), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ContestantError(f"{case.name} ended with {done.returncode}:\n{done.stderr[-_TOLD:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return CaseReport(case, result)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cuda:0 caps the process; elsewhere faults are injected")
    parser.add_argument("--runs", type=int, default=None, help=f"default: {_RUNS} on CUDA, {_RUNS_ELSEWHERE} elsewhere")
    parser.add_argument("--together", type=int, default=4, help="jobs in flight at a time")
    parser.add_argument("--case", default="", help="only cases with this in their name")
    parser.add_argument("--scratch", type=Path, default=None, help="folder for weights; they take 9 GB on CUDA")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--quick", action="store_true", help=f"does it still run: {_RUNS_QUICK} runs of each case")
    options = parser.parse_args(arguments)
    if options.runs is None:
        options.runs = _RUNS if options.device.startswith("cuda") else _RUNS_ELSEWHERE
    if options.quick:
        options.runs = _RUNS_QUICK
    return options


if __name__ == "__main__":
    sys.exit(main())
