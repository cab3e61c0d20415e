"""Faults on purpose: where they strike, how often, and in whose words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from safelight_worker.engine.failures import requested_bytes, to_failed
from safelight_worker.memory.fault_injection import FaultInjector
from safelight_worker.memory.out_of_memory import is_fatal, is_out_of_memory
from safelight_worker.types import FailureKind, Phase

Visit = tuple[Phase, int, int]


def struck(injector: FaultInjector, visits: Sequence[Visit]) -> list[Visit]:
    """The visits at which something was raised."""
    found = []
    for visit in visits:
        try:
            injector.at(*visit)
        except RuntimeError:
            found.append(visit)
    return found


def steps(*numbers: int, phase: Phase = Phase.DENOISE, images: int = 1) -> list[Visit]:
    return [(phase, number, images) for number in numbers]


EVERYWHERE = [(phase, step, images) for phase in Phase for step in range(5) for images in (1, 4)]


def raised(text: str, visit: Visit) -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        FaultInjector.parse(text).at(*visit)
    return caught.value


@pytest.mark.parametrize("injector", [FaultInjector(), FaultInjector.parse(""), FaultInjector.parse(" ; ")])
def test_without_rules_nothing_happens(injector: FaultInjector) -> None:
    assert struck(injector, EVERYWHERE) == []


def test_a_rule_strikes_once_at_its_phase_and_step() -> None:
    injector = FaultInjector.parse("oom@denoise:3")
    assert struck(injector, [*EVERYWHERE, *EVERYWHERE]) == [(Phase.DENOISE, 3, 1)]


def test_a_rule_without_a_step_strikes_at_the_first_visit_of_its_phase() -> None:
    assert struck(FaultInjector.parse("oom@decode"), [*EVERYWHERE, *EVERYWHERE]) == [(Phase.DECODE, 0, 1)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("oom@denoise:2x3", [2, 2, 2]),
        ("oom@denoise:*x3", [1, 2, 2]),
        ("oom@denoise:*", [1, 2, 2, 2, 2, 3]),
        ("oom@denoise:*%1.0", [1, 2, 2, 2, 2, 3]),
    ],
)
def test_a_rule_strikes_as_often_as_it_says(text: str, wanted: list[int]) -> None:
    found = struck(FaultInjector.parse(text), steps(1, 2, 2, 2, 2, 3))
    assert [step for _, step, _ in found] == wanted


def test_a_share_strikes_about_that_often_and_the_same_way_for_the_same_seed() -> None:
    visits = steps(*range(4000))
    one, again, other = (struck(FaultInjector.parse(f"oom@denoise:*%0.05#{seed}"), visits) for seed in ("7", "7", "8"))
    assert one == again
    assert one != other
    assert 140 < len(one) < 260


def test_visits_of_other_phases_do_not_move_the_dice() -> None:
    plain = struck(FaultInjector.parse("oom@denoise:*%0.2#3"), steps(*range(100)))
    mixed = [each for step in range(100) for each in (*steps(step, phase=Phase.DECODE), *steps(step))]
    assert struck(FaultInjector.parse("oom@denoise:*%0.2#3"), mixed) == plain


def test_a_limit_strikes_whenever_a_forward_holds_more_images() -> None:
    injector = FaultInjector.parse("limit=images>2@denoise")
    visits = [(phase, step, images) for phase in Phase for step in range(3) for images in (1, 2, 3, 8)]
    assert struck(injector, visits) == [(Phase.DENOISE, step, images) for step in range(3) for images in (3, 8)]


def test_rules_stand_side_by_side() -> None:
    injector = FaultInjector.parse("oom@denoise:1; error@encode ;fatal@denoise:1")
    visits = [*steps(0, phase=Phase.ENCODE), *steps(1, 1, 1)]
    # The second visit of step 1 finds the first rule spent and meets the third.
    assert struck(injector, visits) == [*steps(0, phase=Phase.ENCODE), *steps(1, 1)]


def test_out_of_memory_speaks_as_torch_does() -> None:
    error = raised("oom@denoise:3", (Phase.DENOISE, 3, 1))
    assert type(error) is torch.OutOfMemoryError
    assert str(error).startswith("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ")
    assert requested_bytes(str(error)) == 2 << 30
    assert is_out_of_memory(error)
    assert not is_fatal(error)


def test_a_fatal_fault_is_taken_for_a_lost_device() -> None:
    error = raised("fatal@denoise:2", (Phase.DENOISE, 2, 1))
    assert is_fatal(error)
    assert not is_out_of_memory(error)
    assert to_failed(error, Phase.DENOISE, 2, 0).kind is FailureKind.DEVICE_FATAL


def test_an_error_is_taken_for_a_defect_and_names_its_rule() -> None:
    error = raised("error@encode", (Phase.ENCODE, 0, 1))
    failed = to_failed(error, Phase.ENCODE, 0, 0)
    assert failed.kind is FailureKind.INTERNAL
    assert "error@encode" in failed.message


def kept(injector: FaultInjector, visits: Sequence[Phase]) -> list[int]:
    """At which visits a leak held on to what was made."""
    asked: list[int] = []
    for number, phase in enumerate(visits):
        injector.after(phase, lambda number=number: asked.append(number))
    return asked


def test_a_leak_holds_on_to_what_was_loaded_and_strikes_nobody() -> None:
    visits = [Phase.ENCODE, Phase.LOAD, Phase.LOAD]
    assert kept(FaultInjector.parse("leak@load"), visits) == [1]
    assert kept(FaultInjector.parse("leak@load:*"), visits) == [1, 2]
    assert kept(FaultInjector.parse("oom@load:*"), visits) == []
    assert struck(FaultInjector.parse("leak@load:*"), EVERYWHERE) == []


@pytest.mark.parametrize(
    "text",
    [
        "oom",
        "oom@",
        "oom@sleep",
        "boom@denoise",
        "oom@denoise:",
        "oom@denoise:-1",
        "oom@denoise:x3",
        "oom@denoise:2x0",
        "oom@denoise:*%0",
        "oom@denoise:*%1.5",
        "oom@denoise:*%1e9",
        "oom@denoise:*#3",
        "oom@denoise:3 4",
        "limit=images>2",
        "limit=images>-2@denoise",
        "limit=images>2@denoise:1",
        "limit=rows>2@denoise",
        "OOM@denoise",
        "leak@decode",
        "leak@load:3",
    ],
)
def test_a_rule_that_cannot_be_read_is_named_with_the_grammar(text: str) -> None:
    with pytest.raises(ValueError, match="KIND@PHASE") as caught:
        FaultInjector.parse(f"oom@decode; {text}")
    assert repr(text) in str(caught.value)
