"""A forward that did not fit is not tried again at once, and is tried again later."""

from __future__ import annotations

from pathlib import Path

import torch

from safelight_worker.engine.tight_spots import FORGET_SECONDS, TightSpots
from safelight_worker.memory.fault_injection import FaultInjector
from tests.support.engines import Workbench, store
from tests.support.gates import held, replaced


def test_half_of_what_did_not_fit_is_tried_until_it_is_forgotten() -> None:
    now = 0.0
    spots = TightSpots(lambda: now)
    assert spots.most("key", 8) == 8
    spots.note("key", 8)
    assert (spots.most("key", 8), spots.most("key", 2), spots.most("other", 8)) == (4, 2, 8)
    spots.note("key", 1)
    assert spots.most("key", 8) == 1
    now = FORGET_SECONDS
    assert spots.most("key", 8) == 8


def test_after_one_failure_the_other_steps_are_taken_by_as_many_as_fit(
    tmp_path: Path, caps_folder: Path, sd_folder: Path
) -> None:
    bench = Workbench(tmp_path, store(caps_folder), faults=FaultInjector.parse("limit=images>2@denoise"))
    try:
        runner = bench.load(sd_folder).runner
        sizes: list[int] = []

        def recording(tick):  # type: ignore[no-untyped-def]
            def run(states, *arguments):  # type: ignore[no-untyped-def]
                sizes.append(len(states))
                tick(states, *arguments)

            return run

        with replaced(runner, "tick", recording), held(runner, "tick") as gate:
            watchers = [bench.submit(bench.plan(sd_folder, num_inference_steps=6, seeds=(seed,))) for seed in range(5)]
            gate.open()
            for watcher in watchers:
                watcher.succeeded()
    finally:
        bench.stop()
    assert max(sizes) == 2
    # Five images of six steps, two at a time but for what is odd: nothing was tried that had failed, but for the first time.
    assert sum(sizes) == 30
    assert torch.tensor(sizes).float().mean() > 1.5
