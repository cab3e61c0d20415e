"""One step for the images that deserve it most, whatever it raises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence

from safelight_worker import log_context
from safelight_worker.engine.admission import Interrupted
from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.delivery import Delivery
from safelight_worker.engine.endings import Endings
from safelight_worker.engine.failures import release_memory
from safelight_worker.engine.selection import Candidate, next_batch
from safelight_worker.engine.tight_spots import TightSpots
from safelight_worker.memory.fault_injection import FaultInjector
from safelight_worker.memory.out_of_memory import is_fatal, is_out_of_memory
from safelight_worker.types import Phase

log = logging.getLogger(__name__)

Member = tuple[Attempt, Image]


class Ticker:
    """Chooses and advances. ``beat`` is called from inside long ticks."""

    def __init__(
        self, endings: Endings, delivery: Delivery, beat: Callable[[Attempt], None], faults: FaultInjector
    ) -> None:
        self._endings = endings
        self._delivery = delivery
        self._beat = beat
        self._faults = faults
        self._tight = TightSpots()
        self._last_ticked: dict[Hashable, int] = {}
        self._ticks = 0

    def tick(self, running: Sequence[Attempt]) -> bool:
        """One step for one group. False: nobody had a step to take."""
        candidates = [
            self._candidate(attempt, image)
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
        with log_context.concerning(*(candidate.item[0].id for candidate in batch)):
            self._step(batch[0].key, [candidate.item for candidate in batch])
        return True

    def _step(self, key: Hashable, members: list[Member]) -> None:
        """Advances these images. When that fails, halves: memory may suffice for fewer, and the guilty one is found."""
        before = [image.state.step for _, image in members]
        states = [image.state for _, image in members]
        error: BaseException | None = None
        try:
            self._faults.at(Phase.DENOISE, before[0] + 1, len(members))
            rows = max(state.exact_rows for state in states)
            members[0][0].runner.tick(states, lambda *at: self._inside(members, *at), rows)
        except Interrupted:
            return
        except Exception as raised:  # noqa: BLE001  ends as data in _fail
            error = raised
        moved = [member for member, was in zip(members, before, strict=True) if member[1].state.step > was]
        left = [member for member in members if member not in moved]
        for attempt in {attempt.order: attempt for attempt, _ in moved}.values():
            attempt.tell_step(len(members))
            self._delivery.preview(attempt)
            self._endings.mark(attempt)
        if error is None:
            return
        if len(members) == 1 or is_fatal(error):
            for attempt in {attempt.order: attempt for attempt, _ in left}.values():
                self._endings.fail(attempt, error)
            return
        if is_out_of_memory(error):
            self._tight.note(key, len(members))
        log.warning("a tick failed and is taken apart", extra={"images": len(left), "why": str(error)})
        release_memory(error)
        del error
        middle = (len(left) + 1) // 2
        # One that is left over after the others moved on is tried alone, too: memory may suffice for it.
        for part in (left[:middle], left[middle:]):
            alive = [member for member in part if not member[0].is_over]
            if alive:
                self._step(key, alive)

    def _inside(self, members: list[Member], step: int, steps: int) -> None:
        for attempt, image in members:
            self._beat(attempt)
            attempt.tell_inner_step(image, step, steps)
            self._delivery.preview(attempt)

    def _candidate(self, attempt: Attempt, image: Image) -> Candidate[Member]:
        plan, runner, rows = attempt.plan, attempt.runner, image.state.exact_rows
        key: Hashable = ("solo", attempt.order, image.index) if plan.solo else runner.key(plan, image.state)
        cap = 1 if plan.solo else self._tight.most(key, runner.row_cap(plan))
        if rows:
            cap = min(cap, runner.images_in(rows))
        if plan.max_images:
            cap = min(cap, plan.max_images)
        return Candidate((attempt, image), key, plan.priority, attempt.order, cap, rows)
