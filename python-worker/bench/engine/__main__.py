"""``python -m bench.engine``: the engine, a lock, threads and a compiled pipeline, side by side.

Exit codes: 0 measured, 1 a picture was wrong, 2 could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import machine
from bench.engine.contest import contest
from bench.engine.contestant import ContestantError
from bench.engine.outcome import Outcome
from bench.engine.report import Report, to_json, to_text, write_json
from bench.engine.selection import NAMES, Wish, prepare
from bench.engine.summary import summarise
from bench.progress import progress

_DEFAULT_MODEL = Path(__file__).parents[2] / "models" / "shapes"

#: Repeats; the median of three stands one disturbed run.
_REPEATS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    began = time.monotonic()
    facts, watch = machine.describe(options.device), machine.LoadWatch()
    try:
        with tempfile.TemporaryDirectory(prefix="safelight-bench-", dir=options.scratch) as scratch:
            outcomes = _measure(options, Path(scratch))
    except ContestantError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    own = time.process_time() + sum(outcome.cpu_seconds for outcome in outcomes)
    report = Report(
        machine=facts,
        load=watch.end(own),
        threads=options.threads,
        repeats=options.repeats,
        seconds=time.monotonic() - began,
        summaries=tuple(summarise(outcome) for outcome in outcomes),
        outcomes=tuple(outcomes),
    )
    progress("")
    print(to_text(report))
    if options.json:
        write_json(to_json(report), options.json)
    return 1 if report.wrong else 0


def _measure(options: argparse.Namespace, scratch: Path) -> list[Outcome]:
    wish = Wish(options.device, options.model, options.quick, options.compiled, options.t5_layers)
    outcomes = []
    for name in options.workload:
        # One after another, because large weights fill a disk, too.
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=scratch) as own:
            progress(f"{name}: writing weights")
            workload = prepare(name, wish, Path(own))
            outcomes.append(contest(workload, options.threads, options.repeats, Path(own), progress))
    return outcomes


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--device", default="cpu", help="cpu or cuda:0; on CUDA networks are as large as the published ones"
    )
    parser.add_argument(
        "--workload", type=_names, default=None, help=f"of {', '.join(NAMES)}; default: those of the device"
    )
    parser.add_argument("--model", type=Path, default=_DEFAULT_MODEL, help="folder in the diffusers layout")
    parser.add_argument(
        "--threads",
        type=_settings,
        default=None,
        help="intra-op thread settings; default: 1 and all cores, with --quick or on CUDA 1",
    )
    parser.add_argument(
        "--compiled", action="store_true", help="also on a CPU: a lock with compiled blocks, which takes minutes"
    )
    parser.add_argument(
        "--t5-layers", type=int, default=1, help="of 24, in full-size models; reading texts is not compared"
    )
    parser.add_argument("--repeats", type=int, default=_REPEATS)
    parser.add_argument("--scratch", type=Path, default=None, help="folder for weights and pictures; Flux takes 26 GB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument("--quick", action="store_true", help="does it still run: 4 jobs of few steps, once")
    options = parser.parse_args(arguments)
    if options.threads is None:
        # CI machines share their cores, where several threads wait for each other most of the time.
        one = options.quick or options.device != "cpu"
        options.threads = (1,) if one else tuple(sorted({1, machine.cores()}))
    if options.quick:
        options.repeats = 1
    if options.workload is None:
        options.workload = tuple(name for name, on_cpu in NAMES.items() if on_cpu == (options.device == "cpu"))
        if options.quick:
            options.workload = options.workload[:1]
    strange = [name for name in options.workload if NAMES[name] != (options.device == "cpu")]
    if strange:
        parser.error(f"{', '.join(strange)}: not for {options.device}; the goals would be held against other networks")
    if "model" in options.workload and not (options.model / "model_index.json").is_file():
        parser.error(f"{options.model} holds no model; name one with --model")
    options.model = options.model.resolve()
    return options


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(NAMES)}")
    return names


def _settings(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


if __name__ == "__main__":
    sys.exit(main())
