"""Settings of a worker process: its command line."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What the orchestrator decided for this process."""

    socket: Path
    """Unix socket to listen at; at most 100 bytes long."""
    device: str
    """``cpu:0``, ``cuda:0`` or ``mps:0``."""
    threads: int
    """Intra-op threads of torch on the CPU; 0: torch's choice. The last bits of a picture may depend on it."""
    data_dir: Path | None
    """Folder for what is measured once; None: measured at every start."""
    log_level: str
    hide_prompts: bool = True
    """Whether log lines leave out prompts."""
    memory_budget_bytes: int = 0
    """Most this process takes of its device; 0: all there is."""
    faults: str = ""
    """Faults on purpose, for tests; see memory/fault_injection.py."""


def parse(arguments: list[str] | None = None) -> Settings:
    """Reads the command line; exits with 2 and the usage when it is wrong."""
    parser = argparse.ArgumentParser(prog="safelight_worker", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--device", required=True, help="cpu:0, cuda:0 or mps:0")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--prompts", choices=("hidden", "shown"), default="hidden", help="in log lines")
    parser.add_argument("--memory-budget-bytes", type=int, default=0)
    # By the environment, too: a test of the whole server has no other way to its workers.
    rules = os.environ.get("SAFELIGHT_FAULT_RULES", "")
    parser.add_argument("--faults", default=rules, help="faults on purpose, such as oom@denoise:3")
    given = parser.parse_args(arguments)
    return Settings(
        given.socket,
        given.device,
        given.threads,
        given.data_dir,
        given.log_level,
        given.prompts == "hidden",
        given.memory_budget_bytes,
        given.faults,
    )
