"""One case in a process of its own, because a cap holds for a process: ``python -m bench.memory.run_case CASE``.

The case comes as JSON; the result goes to standard output, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from bench.memory.cases import Case, from_json
from bench.memory.climbing import Climber, Tally
from bench.memory.ladder import ladder
from safelight_worker.engine.create import create_engine
from safelight_worker.types import ModelSpec, WorkerError


@dataclass(frozen=True)
class Result:
    """What came of a case. ``seconds`` for all runs, retries included; ``peak_bytes`` of the device, weights included, from
    before loading to the end; on a CPU that of the whole process."""

    tally: Tally
    seconds: float
    peak_bytes: int
    cpu_seconds: float = 0.0
    """Processor time of the process."""
    refused: str = ""
    """Why the model could not be loaded; then no run was begun and all count as failed."""


def run_case(case: Case, folder: Path) -> Result:
    """Loads the model under the cap and runs the case. Pictures and checkpoints go under ``folder``."""
    engine = create_engine(torch.device(case.device), None, budget_bytes=case.budget_bytes, faults=case.faults)
    watch = engine.memory.watch()
    engine.start()
    try:
        spec = ModelSpec(case.name, str(case.folder), dtype=case.dtype)
        try:
            loaded = engine.load(spec).result()
        except WorkerError as error:
            tally = Tally(runs=case.runs, failed=case.runs)
            return Result(tally, 0.0, engine.memory.unwatch(watch), refused=f"{error.kind.value}: {error.message}")
        rungs = ladder(sorted(loaded.model.component_bytes))
        if not case.faults:
            # First runs choose kernels. Injected faults are counted, and must not be used up here.
            Climber(engine, spec, replace(case, runs=case.together), rungs, folder / "warm-up").run()
        climber = Climber(engine, spec, case, rungs, folder)
        began = time.monotonic()
        tally = climber.run()
        return Result(tally, time.monotonic() - began, engine.memory.unwatch(watch))
    finally:
        engine.stop()


def main() -> None:
    """Runs the case named on the command line."""
    # Libraries may print; the result goes where nobody else writes.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    case = from_json(json.loads(sys.argv[1]))
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        result = run_case(case, Path(folder))
    answers.write(json.dumps(asdict(replace(result, cpu_seconds=time.process_time()))))
    answers.flush()


if __name__ == "__main__":
    main()
