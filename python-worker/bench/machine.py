"""Where and with what a benchmark ran, and whether anything else kept the machine busy."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

#: Processors that others may keep busy before the figures are no longer to be trusted.
BUSY_ABOVE = 0.15

_OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
#: What shapes a picture or a figure; the worker tells the same ones (``server.versions``).
_PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors", "accelerate", "peft", "numpy", "pillow")


@dataclass(frozen=True)
class Machine:
    """Facts that a reader needs to compare figures."""

    processor: str
    cores: int
    accelerator: str
    """Its name, memory and CUDA version; empty where none is used."""
    system: str
    versions: Mapping[str, str]
    openmp: Mapping[str, str]
    """Variables that say how OpenMP threads wait for each other; all rivals inherit them. Spinning, GNU OpenMP's default,
    makes two threads many times slower than one beside other busy processes."""
    commit: str
    """Git's short hash, with ``-dirty`` when files under the worker were changed; empty outside a clone."""
    began_at: str
    """ISO 8601, UTC."""

    def lines(self) -> list[str]:
        """For the end of a report."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        waiting = ", ".join(f"{name}={value}" for name, value in self.openmp.items()) or "OpenMP's own way of waiting"
        return [
            f"{self.processor}, {self.cores} cores, {self.system}{f'; {self.accelerator}' if self.accelerator else ''}",
            f"{versions}; commit {self.commit or 'unknown'}",
            f"{self.began_at}; {waiting}",
        ]


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

    def line(self) -> str:
        """For the end of a report."""
        known = self.foreign_during is not None
        others = f"{self.foreign_before:g} before, {self.foreign_during:g} during" if known else "unknown"
        averages = f"{self.average_before:g} before, {self.average_after:g} after"
        return f"load average {averages}; processors used by others: {others}"


class LoadWatch:
    """Follows the load from when it was made, which takes a second of doing nothing, to :meth:`end`."""

    def __init__(self) -> None:
        self._average = load_average()
        self._before = foreign_now()
        self._foreign = Foreign()

    def end(self, own_cpu_seconds: float) -> Load:
        """``own_cpu_seconds`` is the processor time of our processes meanwhile."""
        return Load(self._average, load_average(), self._before, self._foreign.processors(own_cpu_seconds))


def describe(device: str = "cpu") -> Machine:
    """This machine, now, and the device that is measured."""
    packages = {name: version(name) for name in _PACKAGES}
    return Machine(
        processor=_processor(),
        cores=cores(),
        accelerator=_accelerator(device),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        openmp={name: os.environ[name] for name in _OPENMP if name in os.environ},
        versions={"python": platform.python_version(), **packages},
        commit=_commit(),
        began_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def load_average() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2)


class Foreign:
    """Processors that processes other than ours kept busy since this was made. Linux only; elsewhere nothing is known."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy = _busy_seconds()

    def processors(self, own_cpu_seconds: float) -> float | None:
        """The average number; ``own_cpu_seconds`` is what our processes used in the meantime."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        elapsed = time.monotonic() - self._began
        return round(max(0.0, busy - self._busy - own_cpu_seconds) / max(elapsed, 1e-3), 2)


def foreign_now(seconds: float = 1.0) -> float | None:
    """Processors that others keep busy, watched for some seconds while we do nothing."""
    watch = Foreign()
    time.sleep(seconds)
    return watch.processors(0.0)


def _busy_seconds() -> float | None:
    """Seconds all processors together have been at work since the machine started."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal (proc(5)); stolen time is not ours either, so it counts as busy.
    ticks = [int(field) for field in stat.read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _accelerator(device: str) -> str:
    if not device.startswith("cuda"):
        return ""
    # A second of imports that nobody else needs here.
    import torch

    facts = torch.cuda.get_device_properties(device)
    return f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


def cores() -> int:
    """Those this process may use, which containers make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _commit() -> str:
    worker = Path(__file__).parents[1]
    command = ["git", "describe", "--always", "--dirty", "--match="]
    try:
        return subprocess.run(
            command, cwd=worker, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
