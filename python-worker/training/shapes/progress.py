"""How far is a stage? A clock that sets the learning rate, a line for people, and a JSON line for the record."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from torch import nn


class Progress:
    """Follows one stage against the clock, so that it ends on time however busy the machine is.

    Args:
        stage: Name in the log.
        minutes: Length of the stage.
        log: JSON-lines file to append to.
    """

    def __init__(self, stage: str, minutes: float, log: Path) -> None:
        self.stage = stage
        self.log = log
        self.seconds = minutes * 60
        self.step = 0
        self._used = 0.0
        self._resumed_at = time.monotonic()
        self._next_line = 0.0

    @property
    def fraction(self) -> float:
        """Share of the time used, 0 to 1."""
        return min(1.0, (self._used + time.monotonic() - self._resumed_at) / self.seconds)

    def done(self) -> bool:
        """Whether the time is up."""
        return self.fraction >= 1.0

    def save(self, checkpoint: Path, **modules: nn.Module) -> None:
        """Writes the modules' weights by name, and how far the stage is."""
        state = {name: module.state_dict() for name, module in modules.items()}
        partial = checkpoint.with_suffix(".partial")
        torch.save({**state, "step": self.step, "fraction": self.fraction}, partial)
        partial.replace(checkpoint)

    def resume(self, checkpoint: Path, **modules: nn.Module) -> None:
        """Goes on from a checkpoint if there is one. Momentum is not kept: it is back within a few dozen steps."""
        if not checkpoint.exists():
            return
        state = torch.load(checkpoint, weights_only=True)
        for name, module in modules.items():
            module.load_state_dict(state[name])
        self.step = state["step"]
        self._used = state["fraction"] * self.seconds
        self._resumed_at = time.monotonic()

    def rate(self, warm_up: float = 0.02, final: float = 0.02) -> float:
        """Factor on the learning rate: a short rise, then a straight line down to `final`."""
        now = self.fraction
        return max(now / warm_up, 0.05) if now < warm_up else 1.0 - (1.0 - final) * (now - warm_up) / (1.0 - warm_up)

    def report(self, every_seconds: float = 20.0, **figures: float) -> None:
        """Prints and logs a line, at most one in `every_seconds`; 0 writes it now."""
        now = time.monotonic()
        if every_seconds and now < self._next_line:
            return
        if every_seconds:
            self._next_line = now + every_seconds
        left = (1.0 - self.fraction) * self.seconds
        rounded = {name: round(value, 4) for name, value in figures.items()}
        words = "  ".join(f"{name} {value:g}" for name, value in rounded.items())
        print(f"{self.stage}  step {self.step}  {words}  {left / 60:.1f} min left", flush=True)
        minutes = round(self.fraction * self.seconds / 60, 2)
        with self.log.open("a") as file:
            file.write(json.dumps({"stage": self.stage, "minutes": minutes, "step": self.step, **rounded}) + "\n")
