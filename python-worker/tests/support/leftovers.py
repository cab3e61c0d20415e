"""What an attempt leaves in the process: tensors, and the states of its images."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import torch

from tests.support.engines import PATIENCE, Workbench

Seen = Mapping[int, weakref.ref[torch.Tensor]]
"""Tensors by id; an id that comes again is another tensor's when the reference is dead."""


def tensors(bench: Workbench) -> Seen:
    """Those of this process, once the engine has settled."""
    return {id(each): weakref.ref(each) for each in _settled(bench)}


def come_since(bench: Workbench, before: Seen) -> list[str]:
    """Shapes and dtypes of the tensors that are there, once the engine has settled, and were not before."""
    return sorted(
        f"{tuple(each.shape)} {each.dtype}"
        for each in _settled(bench)
        if id(each) not in before or before[id(each)]() is not each
    )


def _settled(bench: Workbench) -> list[torch.Tensor]:
    settle(bench)
    gc.collect()
    return [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]


def settle(bench: Workbench) -> None:
    """Has every thread of an idle engine let go of what it worked on last. An attempt's end is told from inside the work on it:
    a thread of the image pool holds the checkpoint or the output until that returns, and gives up the interpreter with each
    tensor it frees; the engine thread holds its last command until the next one comes."""
    pool = bench.engine._delivery._pool
    # A thread takes no new work before it has dropped the old, and none of these is done before each thread has taken one.
    meeting = threading.Barrier(pool._max_workers)
    for future in [pool.submit(meeting.wait, PATIENCE) for _ in range(meeting.parties)]:
        future.result(PATIENCE)
    assert not bench.engine.unload("never heard of").result(PATIENCE)


def watch_states(runner: Any) -> list[weakref.ref[Any]]:
    """References to the latents, the scheduler and the state of each image the runner prepares from now on."""
    seen: list[weakref.ref[Any]] = []
    prepare = runner.prepare

    def watched(*arguments: Any) -> Any:
        state = prepare(*arguments)
        seen.extend([weakref.ref(state.latents), weakref.ref(state.scheduler), weakref.ref(state)])
        return state

    runner.prepare = watched
    return seen
