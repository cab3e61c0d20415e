"""Which images take the next step together, as a table."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from safelight_worker.engine.selection import Candidate, next_batch

Row = tuple[str, str, int, int, int]


@pytest.mark.parametrize(
    ("rows", "last", "chosen"),
    [
        ([], {}, ""),
        ([("a", "k", 2, 1, 8), ("b", "k", 2, 2, 8)], {}, "ab"),
        ([("b", "k", 2, 2, 8), ("a", "k", 2, 1, 8)], {}, "ab"),
        ([("a", "k", 2, 1, 2), ("b", "k", 2, 2, 2), ("c", "k", 2, 3, 2)], {}, "ab"),
        ([("a", "k", 2, 1, 8), ("b", "m", 2, 2, 8)], {"k": 5, "m": 4}, "b"),
        ([("a", "k", 2, 1, 8), ("b", "m", 2, 2, 8)], {"k": 5}, "b"),
        ([("a", "k", 3, 1, 8), ("b", "m", 0, 2, 8)], {"m": 9}, "b"),
        ([("a", "k", 3, 1, 8), ("b", "k", 0, 2, 8)], {}, "ba"),
        ([("a", "k", 2, 1, 8), ("b", "k", 2, 2, 1), ("c", "k", 2, 3, 8)], {}, "ac"),
        ([("a", "k", 2, 1, 1), ("b", "k", 2, 2, 8)], {}, "a"),
        ([("a", "k", 2, 1, 0)], {}, "a"),
    ],
    ids=[
        "nobody",
        "equals share",
        "the oldest first",
        "up to the cap",
        "the group that waited longest",
        "a group that never ticked",
        "the urgent before the patient",
        "the less urgent may come along",
        "one that wants no company is passed over",
        "and takes its turn alone",
        "a cap below one is one",
    ],
)
def test_next_batch(rows: list[Row], last: dict[Hashable, int], chosen: str) -> None:
    candidates = [Candidate[str](item, key, priority, order, cap) for item, key, priority, order, cap in rows]
    assert "".join(each.item for each in next_batch(candidates, last)) == chosen
