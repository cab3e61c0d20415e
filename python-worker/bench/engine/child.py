"""One rival with one thread setting, alone in a process: reads commands as JSON lines, answers with JSON lines.

Alone, because thread settings, OpenMP teams and peak memory belong to a process.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.engine import exactness
from bench.engine.bare_rival import BareRival
from bench.engine.call_rivals import LockRival, ThreadsRival
from bench.engine.engine_rival import EngineRival
from bench.engine.rival import Burst, Rival
from bench.engine.workloads import BARE, COMPILED, ENGINE, LOCK, THREADS, Job, Workload, from_json, jobs

#: Enough to have every kernel chosen and every thread made; the steps after the second run the same code.
_WARM_UP_STEPS = 3

#: Steps of the pictures that are compared bit by bit: an error in any step shows in all that follow.
_EXACT_STEPS = 6

#: Attempts that are cancelled to see how long it takes.
_CANCELS = 20


def serve(name: str, workload: Workload, threads: int) -> None:
    """Obeys until its input ends."""
    # Libraries may print; answers go where nobody else writes.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    rival: Rival | None = None
    answers.write(json.dumps({"imported": True}) + "\n")
    for line in sys.stdin:
        command = json.loads(line)
        if rival is None:
            rival = make(name, workload, threads)
        answer = obey(rival, workload, threads, command)
        answers.write(json.dumps(answer | {"cpu_seconds": time.process_time()}) + "\n")
    if rival is not None:
        rival.close()


def make(name: str, workload: Workload, threads: int) -> Rival:
    """A rival by its name. Raises ValueError when there is none."""
    if name == ENGINE:
        return EngineRival(workload, threads)
    if name in (LOCK, COMPILED):
        return LockRival(workload, compiled=name == COMPILED)
    if name == THREADS:
        return ThreadsRival(workload)
    if name == BARE:
        return BareRival(workload)
    raise ValueError(f"no rival is called {name}")


def obey(rival: Rival, workload: Workload, threads: int, command: dict[str, Any]) -> dict[str, Any]:
    """Carries one command out; its answer. Raises ValueError for one the rival does not know."""
    what, folder, caps = command["do"], Path(command["folder"]), command["caps"]
    chosen = _arriving(jobs(workload, int(command["jobs"])), float(command["rate"]))
    burst = Burst(chosen, folder, caps, bool(command["exact"]))
    if what == "warm_up":
        return _warm_up(rival, burst)
    if what == "run":
        return _run(rival, burst)
    if isinstance(rival, BareRival):
        if what == "compare_latents":
            return {"difference": rival.batched_against_solo(chosen, caps)}
        if what == "operations":
            return {"operations": rival.operations(chosen)}
        if what == "ceiling":
            return {"operations_a_second": rival.ceiling()}
    if isinstance(rival, EngineRival):
        if what == "cancels":
            step, waits = rival.reactions(folder, _CANCELS)
            return {"step_seconds": step, "waits": waits}
        if what == "exactness":
            found = exactness.check(workload, threads, folder, _EXACT_STEPS)
            return {"exactness": [each.as_json() for each in found]}
    raise ValueError(f"no command of {type(rival).__name__} is called {what}")


def _warm_up(rival: Rival, burst: Burst) -> dict[str, Any]:
    short = [replace(job, steps=min(job.steps, _WARM_UP_STEPS)) for job in burst.jobs]
    began = time.perf_counter()
    rival.run(replace(burst, jobs=short))
    seconds = time.perf_counter() - began
    if isinstance(rival, EngineRival):
        rival.run(replace(burst, jobs=short, exact=True))
    return {"caps": rival.caps(), "seconds": seconds}


def _run(rival: Rival, burst: Burst) -> dict[str, Any]:
    watch = rival.memory.watch()
    before = time.process_time()
    try:
        completions = rival.run(burst)
    finally:
        peak = rival.memory.unwatch(watch)
    return {"completions": completions, "run_cpu_seconds": time.process_time() - before, "peak_bytes": peak}


def _arriving(chosen: list[Job], rate: float) -> list[Job]:
    """At random, ``rate`` a second on average and independent of each other; all at once where it is 0."""
    if rate <= 0:
        return chosen
    dice, now, made = random.Random(0), 0.0, []
    for job in chosen:
        made.append(replace(job, arrives=now))
        now += dice.expovariate(rate)
    return made


if __name__ == "__main__":
    serve(sys.argv[1], from_json(json.loads(sys.argv[2])), int(sys.argv[3]))
