"""One step for the images that deserve it most, whatever it raises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence

from safelight_worker.engine.admission import Interrupted
from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.failures import release_memory
from safelight_worker.engine.selection import Candidate, next_batch
from safelight_worker.memory.out_of_memory import is_fatal

log = logging.getLogger(__name__)

Member = tuple[Attempt, Image]


class Ticker:
    """Chooses and advances. ``fail`` ends an attempt; ``beat`` is called from inside long ticks; ``preview`` after each."""

    def __init__(
        self,
        fail: Callable[[Attempt, BaseException], None],
        beat: Callable[[Attempt], None],
        preview: Callable[[Attempt], None],
    ) -> None:
        self._fail = fail
        self._beat = beat
        self._preview = preview
        self._last_ticked: dict[Hashable, int] = {}
        self._ticks = 0

    def tick(self, running: Sequence[Attempt]) -> bool:
        """One step for one group. False: nobody had a step to take."""
        candidates = [
            _candidate(attempt, image)
            for attempt in running
            if attempt.outcome is None
            for image in attempt.images
            if image.is_denoising
        ]
        batch = next_batch(candidates, self._last_ticked)
        if not batch:
            return False
        self._ticks += 1
        present = {candidate.key for candidate in candidates}
        self._last_ticked = {key: tick for key, tick in self._last_ticked.items() if key in present}
        self._last_ticked[batch[0].key] = self._ticks
        self._step([candidate.item for candidate in batch])
        return True

    def _step(self, members: list[Member]) -> None:
        """Advances these images. When that fails, halves: memory may suffice for fewer, and the guilty one is found."""
        before = [image.state.step for _, image in members]
        error: BaseException | None = None
        try:
            members[0][0].runner.tick([image.state for _, image in members], lambda *at: self._inside(members, *at))
        except Interrupted:
            return
        except Exception as raised:  # noqa: BLE001  ends as data in _fail
            error = raised
        moved = [member for member, was in zip(members, before, strict=True) if member[1].state.step > was]
        left = [member for member in members if member not in moved]
        for attempt in {attempt.order: attempt for attempt, _ in moved}.values():
            attempt.tell_step(len(members))
            self._preview(attempt)
        if error is None:
            return
        if len(members) == 1 or is_fatal(error):
            for attempt in {attempt.order: attempt for attempt, _ in left}.values():
                self._fail(attempt, error)
            return
        log.warning("a tick failed and is taken apart", extra={"images": len(left), "why": str(error)})
        release_memory(error)
        del error
        middle = (len(left) + 1) // 2
        # One that is left over after the others moved on is tried alone, too: memory may suffice for it.
        for part in (left[:middle], left[middle:]):
            alive = [member for member in part if not member[0].is_over]
            if alive:
                self._step(alive)

    def _inside(self, members: list[Member], step: int, steps: int) -> None:
        for attempt, image in members:
            self._beat(attempt)
            attempt.tell_inner_step(image, step, steps)


def _candidate(attempt: Attempt, image: Image) -> Candidate[Member]:
    plan, runner = attempt.plan, attempt.runner
    cap = 1 if plan.solo else runner.row_cap(plan)
    if plan.max_images:
        cap = min(cap, plan.max_images)
    key: Hashable = ("solo", attempt.order, image.index) if plan.solo else runner.key(plan, image.state)
    return Candidate((attempt, image), key, plan.priority, attempt.order, cap)
