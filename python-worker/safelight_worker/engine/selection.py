"""Which images take the next step together. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Candidate(Generic[T]):
    """An image that could take a step. Lower ``priority`` and ``order`` go first; it shares with ``cap`` images at most, itself
    among them. ``rows`` other than 0 fixes the rows of its forward, so it shares only with images that fix none or the same."""

    item: T
    key: Hashable
    priority: int
    order: int
    cap: int
    rows: int = 0


def next_batch(candidates: Sequence[Candidate[T]], last_ticked: Mapping[Hashable, int]) -> list[Candidate[T]]:
    """The images of the next tick: of the most urgent class present, the group that waited longest; in it the most urgent
    and oldest, as many as their caps admit.

    Finishing the oldest first rather than sharing out steps shortens the mean wait and keeps memory flat. Within a class
    groups alternate, so that none starves. ``last_ticked`` holds the number of each key's last tick.
    """
    if not candidates:
        return []
    most_urgent = min(candidate.priority for candidate in candidates)
    keys = {candidate.key: None for candidate in candidates if candidate.priority == most_urgent}
    chosen = min(keys, key=lambda key: last_ticked.get(key, -1))
    group = sorted((each for each in candidates if each.key == chosen), key=lambda each: (each.priority, each.order))
    batch, limit, rows = [group[0]], group[0].cap, group[0].rows
    for candidate in group[1:]:
        # One that wants little company is left out rather than cutting that of the others.
        if len(batch) < min(limit, candidate.cap) and (not candidate.rows or not rows or candidate.rows == rows):
            batch.append(candidate)
            limit = min(limit, candidate.cap)
            rows = rows or candidate.rows
    return batch
