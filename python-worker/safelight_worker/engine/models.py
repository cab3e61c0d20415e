"""The models on the device: which are loaded, which make room for others, and when they leave."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import torch

from safelight_worker.engine.failures import release_memory
from safelight_worker.memory.fault_injection import FaultInjector
from safelight_worker.memory.out_of_memory import is_out_of_memory
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.loaded import LoadedRunner, load_runner, weigh
from safelight_worker.types import FailureKind, MemoryPlan, ModelSpec, Phase, WorkerError

__all__ = ["InUse", "LoadedRunner", "ModelStore", "NoRoomYet"]

log = logging.getLogger(__name__)

InUse = Callable[[], AbstractSet[ModelSpec]]
"""Tells which models attempts hold or are about to; asked only when something might leave."""


class NoRoomYet(WorkerError):  # noqa: N818  it passes
    """A model fits once attempts that use others have ended."""


def _nobody() -> AbstractSet[ModelSpec]:
    return frozenset()


@dataclass(eq=False)
class _Held:
    """``forgotten``: its id means other weights now; it leaves when nobody uses it any more."""

    loaded: LoadedRunner
    used: float
    forgotten: bool = False

    @property
    def bytes(self) -> int:
        return self.loaded.bytes_held


class ModelStore:
    """Loads each model once and keeps the weights of all within ``budget_bytes``; 0: no limit. ``ids`` and ``holds`` may be used
    from any thread, everything else belongs to the engine thread.

    ``weigh`` estimates the bytes of a model's weights on the device before it is loaded; ``clock`` tells seconds.
    """

    def __init__(
        self,
        device: torch.device,
        cache_dir: Path | None,
        memory: MemoryProbe | None = None,
        budget_bytes: int = 0,
        weigh: Callable[[ModelSpec, torch.device, MemoryPlan], int] = weigh,
        clock: Callable[[], float] = time.monotonic,
        faults: FaultInjector | None = None,
    ) -> None:
        self._device = device
        self._cache_dir = cache_dir
        self._memory = memory or MemoryProbe(device)
        self._budget = budget_bytes
        self._weigh = weigh
        self._clock = clock
        self._faults = faults or FaultInjector()
        self._held: dict[ModelSpec, _Held] = {}
        self._pinned: set[str] = set()
        self._keep_alive: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def ids(self) -> list[str]:
        """Each id once, the least recently used first."""
        with self._lock:
            return list(dict.fromkeys(spec.id for spec, held in self._held.items() if not held.forgotten))

    def holds(self, spec: ModelSpec) -> bool:
        """Whether exactly this model - id, files, dtype, variant - is on the device."""
        with self._lock:
            held = self._held.get(spec)
            return held is not None and not held.forgotten

    @property
    def held_bytes(self) -> int:
        """Bytes of the weights of all models on the device, those included that leave when their attempts end."""
        return sum(held.bytes for held in self._held.values())

    def get(self, spec: ModelSpec, in_use: InUse = _nobody, plan: MemoryPlan = MemoryPlan()) -> LoadedRunner:  # noqa: B008
        """The loaded model, loading it first, as a memory plan says, when it is new; then those least recently used that are neither pinned nor in use
        make room. One of the same id from another folder is forgotten: the name means other weights now. Attempts that
        run on those keep them to their end.

        Raises:
            WorkerError: ``model_unavailable``; ``device_out_of_memory`` when not enough can leave, and then nothing does.
        """
        held = self._held.get(spec)
        if held is None:
            loaded = self._load(spec, in_use, plan)
            held = _Held(loaded, 0.0)
        with self._lock:
            for other, each in self._held.items():
                each.forgotten |= other.id == spec.id and other.source != spec.source
            held.forgotten = False
            self._put_last(spec, held)
        if any(each.forgotten for each in self._held.values()):
            self._evict(self._forgotten(in_use()), "its id means other weights now")
        return held.loaded

    def release(self, spec: ModelSpec) -> None:
        """Notes that an attempt has just let go of a model: it is the last to leave."""
        with self._lock:
            held = self._held.get(spec)
            if held is not None:
                self._put_last(spec, held)

    def pin(self, model_id: str, pinned: bool = True) -> None:
        """A pinned model leaves only when it is unloaded."""
        if pinned:
            self._pinned.add(model_id)
        else:
            self._pinned.discard(model_id)

    def keep_alive(self, model_id: str, seconds: float) -> None:
        """How long a model stays without being used; 0: until others need its room."""
        if seconds > 0:
            self._keep_alive[model_id] = seconds
        else:
            self._keep_alive.pop(model_id, None)

    def expire(self, in_use: InUse = _nobody) -> None:
        """Evicts models that were idle for longer than their keep-alive, and forgotten ones. Cheap where there are none."""
        if not self._keep_alive and not any(held.forgotten for held in self._held.values()):
            return
        now, using = self._clock(), in_use()
        due = self._forgotten(using)
        for spec, held in self._held.items():
            if spec in using:
                held.used = now
            elif not held.forgotten and spec.id not in self._pinned:
                keep_alive = self._keep_alive.get(spec.id)
                if keep_alive is not None and now - held.used >= keep_alive:
                    due.append(spec)
        self._evict(due, "it was idle")

    def unload(self, model_id: str, in_use: InUse = _nobody) -> bool:
        """Takes a model off the device, pinned or not, in all its forms. False: it was not there.

        Raises:
            WorkerError: ``invalid_request`` while attempts use it.
        """
        found = [spec for spec, held in self._held.items() if spec.id == model_id and not held.forgotten]
        if found and not in_use().isdisjoint(found):
            message = f"model {model_id} is in use; it can be unloaded when its attempts have ended or are cancelled"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, "id")
        self._pinned.discard(model_id)
        self._keep_alive.pop(model_id, None)
        self._evict(found, "it was unloaded")
        return bool(found)

    def _load(self, spec: ModelSpec, in_use: InUse, plan: MemoryPlan) -> LoadedRunner:
        if self._budget:
            self._make_room(spec, self._weigh(spec, self._device, plan), in_use())
        try:
            return self._load_once(spec, plan)
        except Exception as error:
            evictable = self._evictable(spec, in_use()) if is_out_of_memory(error) else []
            if not evictable:
                raise
            release_memory(error)
        # Outside of the handler: there the exception would still hold what was loaded.
        self._evict(evictable[:1], f"the device has no room for {spec.id}")
        return self._load_once(spec, plan)

    def _load_once(self, spec: ModelSpec, plan: MemoryPlan) -> LoadedRunner:
        before = self.held_bytes
        loaded = load_runner(spec, self._device, self._cache_dir, self._memory, plan)
        self._faults.after(Phase.LOAD, loaded.weights)
        after = before + loaded.bytes_held
        log.info("weights grew", extra={"model": spec.id, "bytes_before": before, "bytes_after": after})
        return loaded

    def _make_room(self, spec: ModelSpec, needed: int, using: AbstractSet[ModelSpec]) -> None:
        excess = self.held_bytes + needed - self._budget
        if excess <= 0:
            return
        evictable = self._evictable(spec, using)
        if self._bytes_of(evictable) < excess:
            busy = [other for other in using if other in self._held and other.id not in self._pinned]
            fits_later = self._bytes_of({*evictable, *busy}) >= excess
            error = NoRoomYet if fits_later else WorkerError
            raise error(FailureKind.DEVICE_OUT_OF_MEMORY, self._no_room(spec, needed, using), "model")
        victims: list[ModelSpec] = []
        while self._bytes_of(victims) < excess:
            victims.append(evictable[len(victims)])
        # A large one at the end may have made smaller ones before it needless; the last used of them stay.
        for each in reversed(victims[:-1]):
            if self._bytes_of(victims) - self._held[each].bytes >= excess:
                victims.remove(each)
        self._evict(victims, f"it makes room for {spec.id}")

    def _evictable(self, spec: ModelSpec, using: AbstractSet[ModelSpec]) -> list[ModelSpec]:
        """What may leave for a model: first those whose name it takes over, pinned or not, then the least recently used."""

        def is_superseded(other: ModelSpec) -> bool:
            return self._held[other].forgotten or (other.id == spec.id and other.source != spec.source)

        idle = [other for other in self._held if other not in using and other != spec]
        free = [other for other in idle if is_superseded(other) or other.id not in self._pinned]
        return sorted(free, key=lambda other: (not is_superseded(other), self._held[other].used))

    def _no_room(self, spec: ModelSpec, needed: int, using: AbstractSet[ModelSpec]) -> str:
        def reason(other: ModelSpec) -> str:
            return "in use" if other in using else "pinned" if other.id in self._pinned else "idle"

        holders = [f"{each.id} holds {_mib(held.bytes)} ({reason(each)})" for each, held in self._held.items()]
        return (
            f"model {spec.id} needs {_mib(needed)} for its weights and the budget of all models is {_mib(self._budget)}: "
            f"{', '.join(holders) or 'no other is loaded'}; unpin or unload models, take a smaller form (dtype, "
            "quantization) or raise the budget"
        )

    def _forgotten(self, using: AbstractSet[ModelSpec]) -> list[ModelSpec]:
        return [spec for spec, held in self._held.items() if held.forgotten and spec not in using]

    def _bytes_of(self, specs: Iterable[ModelSpec]) -> int:
        return sum(self._held[spec].bytes for spec in specs)

    def _put_last(self, spec: ModelSpec, held: _Held) -> None:
        held.used = self._clock()
        self._held.pop(spec, None)
        self._held[spec] = held

    def _evict(self, specs: Sequence[ModelSpec], why: str) -> None:
        if not specs:
            return
        before = self.held_bytes
        for spec in specs:
            with self._lock:
                held = self._held.pop(spec)
            try:
                held.loaded.close()
            except Exception:
                # Its memory comes back all the same once nobody refers to it.
                log.exception("a model does not close", extra={"model": spec.id})
            del held
        # Modules and hooks refer to each other in circles.
        gc.collect()
        if self._device.type != "cpu":
            torch.get_device_module(self._device).empty_cache()
        names = [spec.id for spec in specs]
        log.info(
            "models left", extra={"models": names, "why": why, "bytes_before": before, "bytes_after": self.held_bytes}
        )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
