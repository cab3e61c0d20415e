"""Which forwards did not fit lately, so that the next tick does not try the same again."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

#: Seconds after which a larger forward is tried again: what took the room may have gone.
FORGET_SECONDS = 60.0


class TightSpots:
    """By key of images that may share a forward. Belongs to the engine thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[Hashable, tuple[int, float]] = {}

    def note(self, key: Hashable, images: int) -> None:
        """A forward of so many images ran out of memory."""
        now = self._clock()
        self._found = {each: spot for each, spot in self._found.items() if spot[1] > now}
        # The larger half, which is what is tried next.
        self._found[key] = ((images + 1) // 2, now + FORGET_SECONDS)

    def most(self, key: Hashable, cap: int) -> int:
        """Images to try at most, of ``cap``."""
        most, until = self._found.get(key, (cap, 0.0))
        return min(cap, most) if until > self._clock() else cap
