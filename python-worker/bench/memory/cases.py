"""What is run under which cap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

#: Bytes of what cards are named after.
GB = 2**30

#: Runs of the uncapped case: enough for a median.
_UNCAPPED_RUNS = 50


@dataclass(frozen=True)
class Case:
    """Runs of one model under one cap. ``family`` and ``scale`` say which weights; sizes in pixels.

    ``budget_bytes``: all that the process may take of the device, 0 for all there is. ``together``: jobs in flight at a time.
    ``faults``: injected, in the grammar of the worker's fault injector. ``uncapped``: the case whose time is compared with.
    """

    name: str
    family: str
    scale: str
    side: int
    steps: int
    runs: int
    together: int = 4
    budget_bytes: int = 0
    faults: str = ""
    uncapped: str = ""
    device: str = "cpu"
    dtype: str = "float32"
    folder: Path = Path()

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder)}


def from_json(told: Mapping[str, Any]) -> Case:
    """What :meth:`Case.as_json` told, after a way through JSON."""
    return Case(**{**told, "folder": Path(told["folder"])})


def cases(device: str, runs: int, together: int) -> list[Case]:
    """Full-size models under real caps on CUDA; elsewhere tiny ones whose memory ends where injected faults say so."""
    return _capped(device, runs, together) if device.startswith("cuda") else _injected(runs, together)


def _capped(device: str, runs: int, together: int) -> list[Case]:
    found = []
    for model, family, side, steps, sizes in (("sd15", "sd", 512, 50, (4, 6, 8)), ("sdxl", "sdxl", 1024, 30, (8, 10))):
        free = Case(
            f"{model} uncapped",
            family,
            "full",
            side,
            steps,
            min(runs, _UNCAPPED_RUNS),
            together,
            device=device,
            dtype="bfloat16",
        )
        found.append(free)
        found += [
            replace(free, name=f"{model} at {size} GB", runs=runs, budget_bytes=size * GB, uncapped=free.name)
            for size in sizes
        ]
    return found


def _injected(runs: int, together: int) -> list[Case]:
    found = []
    for family in ("sd", "sdxl"):
        free = Case(f"{family} uncapped", family, "tiny", 64, 8, runs, together)
        found.append(free)
        found += [
            replace(
                free, name=f"{family}, {what}", together=at_once, budget_bytes=2 * GB, faults=rules, uncapped=free.name
            )
            for what, at_once, rules in (
                ("forwards of 2 images at most", together, "limit=images>2@denoise"),
                ("a decode fails", together, "limit=images>2@denoise;oom@decode:*x1"),
                ("step 5 fails 4 times", 1, "oom@denoise:5x4"),
                ("1 step in 20 fails", together, "oom@denoise:*%0.05#7"),
            )
        ]
    return found
