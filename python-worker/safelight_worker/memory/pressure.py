"""How tight memory is, in three words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from safelight_worker.memory.port import MemoryState


class Pressure(str, Enum):
    """From room for more to room for nothing."""

    SAFE = "safe"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Thresholds:
    """Shares of the total, 0 … 1; less than that available is a warning or critical."""

    warning: float = 0.15
    critical: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.critical <= self.warning <= 1:
            raise ValueError(
                f"thresholds must keep 0 ≤ critical ≤ warning ≤ 1, not critical {self.critical}, warning {self.warning}"
            )


def pressure(state: MemoryState, thresholds: Thresholds = Thresholds()) -> Pressure:
    """By the share of the total that is available; our allocator's cache is no pressure. A device without memory is full."""
    share = state.available / state.total if state.total > 0 else 0.0
    if share < thresholds.critical:
        return Pressure.CRITICAL
    if share < thresholds.warning:
        return Pressure.WARNING
    return Pressure.SAFE
