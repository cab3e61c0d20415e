"""What each phase of a loaded model takes beyond its weights: measured when it is loaded, estimated where it cannot be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from safelight_worker.memory.calibration import CalibrationFile, fit, measure_phase
from safelight_worker.memory.estimates import estimate_footprints
from safelight_worker.memory.footprint import PhaseFootprint
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.types import Phase

log = logging.getLogger(__name__)

#: Seconds a phase may be measured for when a model is loaded.
_BUDGET_SECONDS = 2.0

Run = Callable[[int, int, int], None]
"""Runs a phase once for (rows, width, height)."""


def footprints(
    model: LoadedModel,
    native: tuple[int, int],
    rows: int,
    ready: Callable[[int, int], Any],
    runs: Mapping[Phase, Run],
    memory: MemoryProbe,
    kept: CalibrationFile,
) -> tuple[PhaseFootprint, ...]:
    """One per phase. What was measured before, for these weights on this device, is not measured again. ``ready`` is called with
    each width and height before anything of that size is measured."""
    estimated = {each.phase: each for each in _estimates(model)}
    found = []
    # Lets the attempts in flight have the peak so far: measuring resets it.
    watch = memory.watch()
    try:
        for phase, run in runs.items():
            known = kept.known(phase) or _measured(phase, run, native, rows, ready, memory)
            if known is not None and kept.known(phase) is None:
                kept.keep(known)
            if known is not None or phase in estimated:
                found.append(known or estimated[phase])
    finally:
        memory.unwatch(watch)
    log.info("footprints", extra={"model": model.spec.id, "phases": {each.phase.value: vars(each) for each in found}})
    return tuple(found)


def _measured(
    phase: Phase,
    run: Run,
    native: tuple[int, int],
    rows: int,
    ready: Callable[[int, int], Any],
    memory: MemoryProbe,
) -> PhaseFootprint | None:
    """None where the device keeps no peak, or had no room for a single run."""
    width, height = native
    half = (max(64, width // 128 * 64), max(64, height // 128 * 64))
    if phase is Phase.ENCODE:
        sizes = [(1, 1, 1)]
    elif phase is Phase.DECODE:
        sizes = [(1, *half), (1, width, height)]
    else:
        sizes = [(rows, *half), (rows, width, height), (2 * rows, width, height)]
    if phase is not Phase.ENCODE:
        for _, each_width, each_height in sizes:
            ready(each_width, each_height)
    samples = measure_phase(memory.port, run, sizes, _BUDGET_SECONDS)
    if not samples:
        return None
    if phase is Phase.ENCODE:
        # Texts are padded to one length: it does not depend on the picture.
        return PhaseFootprint(phase, samples[0].peak_bytes, 0.0, measured=True)
    return fit(phase, samples)


def _estimates(model: LoadedModel) -> tuple[PhaseFootprint, ...]:
    configs: dict[str, Any] = {
        name: dict(component.config) if isinstance(component.config, Mapping) else component.config.to_dict()
        for name, component in model.pipe.components.items()
        if name in model.component_bytes and hasattr(component, "config")
    }
    return estimate_footprints(configs, model.dtype.itemsize)
