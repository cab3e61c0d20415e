"""One rival with one thread setting, alone in a process: reads commands as JSON lines, answers with JSON lines.

Alone, because thread settings, OpenMP teams and peak memory belong to a process.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.batching.bare_rival import BareRival
from bench.batching.call_rivals import LockRival, ThreadsRival
from bench.batching.engine_rival import EngineRival
from bench.batching.rival import Burst, Rival
from bench.batching.workloads import BARE, ENGINE, LOCK, THREADS, Workload, jobs

#: Enough to have every kernel chosen and every thread made; the steps after the second run the same code.
_WARM_UP_STEPS = 3


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
            rival = _make(name, workload, threads)
        answers.write(json.dumps(_obey(rival, workload, command) | _usage()) + "\n")
    if rival is not None:
        rival.close()


def _make(name: str, workload: Workload, threads: int) -> Rival:
    if name == ENGINE:
        return EngineRival(workload, threads)
    if name == LOCK:
        return LockRival(workload)
    if name == THREADS:
        return ThreadsRival(workload)
    if name == BARE:
        return BareRival(workload)
    raise ValueError(f"no rival is called {name}")


def _obey(rival: Rival, workload: Workload, command: dict[str, Any]) -> dict[str, Any]:
    what, folder, cap = command["do"], Path(command["folder"]), int(command["cap"])
    chosen = jobs(int(command["jobs"]))
    if what == "warm_up":
        rival.run(Burst(chosen, _WARM_UP_STEPS, folder, cap))
        return {"cap": rival.cap()}
    if what == "run":
        before = time.process_time()
        completions = rival.run(Burst(chosen, workload.steps, folder, cap))
        return {"completions": completions, "run_cpu_seconds": time.process_time() - before}
    if what == "compare_latents":
        assert isinstance(rival, BareRival)
        return {"difference": rival.batched_against_solo(chosen, cap)}
    raise ValueError(f"no command is called {what}")


def _usage() -> dict[str, float]:
    """Peak resident bytes and processor seconds of this process so far."""
    # Linux counts ru_maxrss in kilobytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "cpu_seconds": time.process_time(),
    }


if __name__ == "__main__":
    told = json.loads(sys.argv[2])
    own = Workload(**told)
    serve(sys.argv[1], replace(own, folder=Path(own.folder), job_counts=tuple(own.job_counts)), int(sys.argv[3]))
