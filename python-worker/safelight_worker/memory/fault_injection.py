"""Faults on purpose, at a chosen phase and step: for tests and for the fault benchmark."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from safelight_worker.types import Phase

_GRAMMAR = (
    "rules are separated by ';', each one is KIND@PHASE[:STEP[xTIMES][%SHARE[#SEED]]] or limit=images>COUNT@PHASE, where "
    "KIND is oom, fatal, error or leak, "
    f"PHASE one of {', '.join(phase.value for phase in Phase)}, STEP a number or *, SHARE a number above 0 and up to 1"
)

_RULE = re.compile(
    r"""(?: (?P<kind>oom|fatal|error|leak) | limit=images>(?P<limit>\d{1,9}) )
        @ (?P<phase>[a-z]+)
        (?: : (?P<step>\d{1,9}|\*) (?: x(?P<times>\d{1,9}) )? (?: %(?P<share>\d*\.?\d+) (?: \#(?P<seed>\d{1,18}) )? )? )?""",
    re.VERBOSE,
)

#: As torch words it (c10/cuda/CUDACachingAllocator.cpp).
_OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.69 GiB of which 1.05 GiB is free. "
    "Including non-PyTorch memory, this process has 22.62 GiB memory in use. Of the allocated memory 20.11 GiB is allocated "
    "by PyTorch, and 1.95 GiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try "
    "setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)

#: As torch words CUDA error 700 (c10/cuda/CUDAException.cpp).
_FATAL = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
)


@dataclass
class _Rule:
    """``step`` None: any. ``times`` None: for ever. ``limit`` set: only forwards of more images."""

    text: str
    kind: str
    phase: Phase
    step: int | None
    times: int | None
    share: float
    dice: random.Random
    limit: int | None = None
    fired: int = field(default=0)

    def fires(self, phase: Phase, step: int, images: int) -> bool:
        if phase is not self.phase or (self.step is not None and step != self.step):
            return False
        if self.limit is not None and images <= self.limit:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        if self.share < 1 and self.dice.random() >= self.share:
            return False
        self.fired += 1
        return True


class FaultInjector:
    """Raises what its rules say; one without rules does nothing. May be called from any thread. The same rules and the same
    order of calls give the same faults."""

    def __init__(self, rules: tuple[_Rule, ...] = ()) -> None:
        self._rules = tuple(rule for rule in rules if rule.kind != "leak")
        self._leaks = tuple(rule for rule in rules if rule.kind == "leak")
        self._leaked: list[object] = []
        self._lock = threading.Lock()

    @classmethod
    def parse(cls, text: str) -> FaultInjector:
        """Reads rules such as these, separated by ``;``. Blank text: no rules.

        ====================================  =====================================================================
        ``oom@denoise:3``                     out of memory, once, at step 3
        ``oom@decode``                        out of memory, once, at the first decode
        ``oom@denoise:2x3``                   three times at step 2
        ``oom@denoise:*x5``                   five times, at whatever step
        ``oom@denoise:*%0.01#7``              at one in a hundred calls, drawn with seed 7 (0 when it is left out)
        ``fatal@denoise:2``                   a lost CUDA context
        ``error@encode``                      a defect
        ``leak@load``                         the weights of the first model stay when it leaves
        ``limit=images>2@denoise``            out of memory whenever a forward holds more than 2 images
        ====================================  =====================================================================

        ``*`` alone is every time. Steps are counted as the caller of :meth:`at` counts them.

        Raises:
            ValueError: names the rule and the grammar.
        """
        return cls(tuple(_parse(rule.strip()) for rule in text.split(";") if rule.strip()))

    def at(self, phase: Phase, step: int, images: int) -> None:
        """Called before work of a phase. ``images``: how many its forward holds.

        Raises:
            torch.OutOfMemoryError: worded as torch words it.
            RuntimeError: a lost device or a defect.
        """
        if not self._rules:
            return
        with self._lock:
            rule = next((rule for rule in self._rules if rule.fires(phase, step, images)), None)
        if rule is None:
            return
        if rule.kind == "oom":
            raise torch.OutOfMemoryError(_OUT_OF_MEMORY)
        if rule.kind == "fatal":
            raise RuntimeError(_FATAL)
        raise RuntimeError(f"a fault was injected by {rule.text} at step {step}")

    def after(self, phase: Phase, made: Callable[[], object]) -> None:
        """Called with what work of a phase made; a leak holds on to it for ever. ``made`` is asked only then."""
        with self._lock:
            if any(rule.fires(phase, 0, 0) for rule in self._leaks):
                self._leaked.append(made())


def _parse(text: str) -> _Rule:
    found = _RULE.fullmatch(text)
    if found is None or found["phase"] not in {phase.value for phase in Phase}:
        raise ValueError(f"fault rule {text!r} cannot be read; {_GRAMMAR}")
    if found["kind"] == "leak" and (found["phase"] != Phase.LOAD.value or found["step"] not in (None, "*")):
        raise ValueError(f"fault rule {text!r} would leak nothing: only leak@load and leak@load:* do; {_GRAMMAR}")
    if found["limit"] and found["step"]:
        raise ValueError(f"fault rule {text!r} limits images at a step, but a limit holds at every step; {_GRAMMAR}")
    share = float(found["share"] or 1)
    if not 0 < share <= 1:
        raise ValueError(f"fault rule {text!r} has the share {share:g}, which is not above 0 and up to 1; {_GRAMMAR}")
    every_time = found["limit"] or found["step"] == "*"
    times = int(found["times"]) if found["times"] else None if every_time else 1
    if times == 0:
        raise ValueError(f"fault rule {text!r} would never fire: 0 times; {_GRAMMAR}")
    return _Rule(
        text=text,
        kind=found["kind"] or "oom",
        phase=Phase(found["phase"]),
        step=int(found["step"]) if found["step"] and found["step"] != "*" else None,
        times=times,
        share=share,
        dice=random.Random(int(found["seed"] or 0)),  # noqa: S311  must repeat, not surprise
        limit=int(found["limit"]) if found["limit"] else None,
    )
