"""``python -m bench.batching``: the engine, a lock and threads, side by side.

Exit codes: 0 measured, 1 a picture was wrong, 2 could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench import machine
from bench.batching.contest import Outcome, contest
from bench.batching.contestant import ContestantError, write_tiny_pipeline
from bench.batching.report import Load, Report, to_text, write_json
from bench.batching.summary import summarise
from bench.batching.workloads import ENGINE, LOCK, TINY_SIDE, Workload

_DEFAULT_MODEL = Path(__file__).parents[2] / "models" / "shapes"

#: Repeats; the median of three stands one disturbed run.
_REPEATS = 3


def main() -> int:
    options = _options()
    began = time.monotonic()
    facts, average_before, foreign_before = machine.describe(), machine.load_average(), machine.foreign_now()
    foreign = machine.Foreign()
    try:
        with tempfile.TemporaryDirectory(prefix="safelight-bench-") as scratch:
            outcomes = _measure(options, Path(scratch))
    except ContestantError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    own = time.process_time() + sum(outcome.cpu_seconds for outcome in outcomes)
    report = Report(
        machine=facts,
        load=Load(average_before, machine.load_average(), foreign_before, foreign.processors(own)),
        threads=options.threads,
        repeats=options.repeats,
        seconds=time.monotonic() - began,
        summaries=tuple(summarise(outcome) for outcome in outcomes),
        runs={outcome.workload.name: outcome.runs for outcome in outcomes},
    )
    _progress("")
    print(to_text(report))
    if options.json:
        write_json(report, options.json)
    return 1 if report.wrong else 0


def _measure(options: argparse.Namespace, scratch: Path) -> list[Outcome]:
    tiny = write_tiny_pipeline(scratch / "tiny")
    return [
        contest(workload, options.threads, options.repeats, scratch / workload.name, _progress)
        for workload in _workloads(options, tiny)
    ]


def _workloads(options: argparse.Namespace, tiny: Path) -> list[Workload]:
    counts = (4,) if options.quick else (8, 16)
    launch_bound = Workload("launch-bound", tiny, TINY_SIDE, TINY_SIDE, 20, 5.0, counts)
    # Few steps and one job count: what matters is that a forward is long, not that there are many.
    large = Workload("compute-bound", tiny, 256, 256, 4, 5.0, (8,), (ENGINE, LOCK))
    if options.quick:
        return [launch_bound]
    return [Workload("model", options.model, 64, 64, 20, 5.0, counts), launch_bound, large]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.batching", description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=_DEFAULT_MODEL, help="folder in the diffusers layout")
    parser.add_argument(
        "--threads",
        type=_settings,
        default=None,
        help="intra-op thread settings; default: 1 and all cores, with --quick 1",
    )
    parser.add_argument("--repeats", type=int, default=_REPEATS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--quick", action="store_true", help="does it still run: 4 jobs on the random pipeline, once")
    options = parser.parse_args()
    if options.threads is None:
        # CI machines share their cores, where several threads wait for each other most of the time.
        options.threads = (1,) if options.quick else tuple(sorted({1, machine.describe().cores}))
    if options.quick:
        options.repeats = 1
    elif not (options.model / "model_index.json").is_file():
        parser.error(f"{options.model} holds no model; name one with --model")
    options.model = options.model.resolve()
    return options


def _settings(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


_began = time.monotonic()


def _progress(text: str) -> None:
    """One line, written over where somebody watches, one under the other elsewhere."""
    if text:
        text = f"{time.monotonic() - _began:4.0f} s  {text}"
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
