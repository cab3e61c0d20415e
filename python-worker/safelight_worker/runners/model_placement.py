"""Where a model's components are while attempts with different memory plans share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from safelight_worker.placement.component_hooks import component_hooks
from safelight_worker.placement.phase_loader import PhaseLoader
from safelight_worker.types import MemoryPlan, Phase, Residency

#: From most to least memory on the device.
_SPARING = (Residency.RESIDENT, Residency.PHASE, Residency.GROUP_OFFLOAD)

#: Share of a component that is on the device under group offload: the block that computes and the one that is fetched. Networks
#: have 10 to 60 blocks.
_GROUP_SHARE = 0.2

#: Beginnings of the names of components that work at every step.
_DENOISING = ("unet", "transformer", "controlnet", "prior", "image_projection")


class ModelPlacement:
    """Belongs to the engine thread."""

    def __init__(
        self,
        components: Mapping[str, torch.nn.Module],
        device: torch.device,
        phases: Mapping[Phase, frozenset[str]],
    ) -> None:
        self._components = dict(components)
        self._device = device
        self._loader = PhaseLoader(components, device, phases)
        self._plans: list[MemoryPlan] = []

    @property
    def swaps_phases(self) -> bool:
        """Whether components come and go with their phases."""
        return Residency.PHASE in self._loader.residency.values()

    @property
    def residency(self) -> Mapping[str, Residency]:
        """Of every component, as it is in force."""
        return self._loader.residency

    def need(self, component: str) -> None:
        """Has one component on the device."""
        self._loader.need(frozenset({component}))

    def follow(self, plans: Sequence[MemoryPlan]) -> None:
        """Takes over the residency of the attempts in flight: per component the most sparing. Without any, things stay where
        they are: the next attempt most likely has the same plan.

        Raises:
            WorkerError: ``invalid_request`` when one cannot be followed; then the ones before still are.
        """
        wanted = [plan for index, plan in enumerate(plans) if plan not in plans[:index]]
        if not wanted or wanted == self._plans:
            return
        # Not known while it is under way: whoever follows a failure has all of it done anew.
        self._plans = []
        self._loader.apply(merged([plan.residency for plan in wanted]))
        self._plans = wanted

    def in_force(self, plan: MemoryPlan) -> MemoryPlan:
        """A plan with the residency that is carried out."""
        moved = {name: each for name, each in self._loader.residency.items() if each is not Residency.RESIDENT}
        return replace(plan, residency={**dict.fromkeys(plan.residency, Residency.RESIDENT), **moved})

    def enter(self, phase: Phase) -> None:
        """Has what the phase needs on the device."""
        self._loader.enter(phase)

    @contextmanager
    def during_call(self) -> Iterator[None]:
        """Has each component on the device when a whole call comes to use it."""
        if not self.swaps_phases:
            self._loader.need(frozenset(self._components))
            yield
            return
        with component_hooks(self._components, self._device, lambda name: self._loader.need(self._together(name))):
            yield

    def _together(self, name: str) -> frozenset[str]:
        """What is used in turns with a component: a denoiser and what steers it, at every step."""
        denoising = frozenset(each for each in self._components if each.startswith(_DENOISING))
        return denoising if name in denoising else frozenset({name})

    def refresh(self) -> None:
        """Layers were added to a module."""
        self._loader.refresh()

    def close(self) -> None:
        self._loader.close()


def merged(residencies: Sequence[Mapping[str, Residency]]) -> dict[str, Residency]:
    """Per component the most sparing of what the plans say; who does not name it says resident."""
    names = {name for each in residencies for name in each}
    return {
        name: max((each.get(name, Residency.RESIDENT) for each in residencies), key=_SPARING.index) for name in names
    }


def bytes_held(sizes: Mapping[str, int], residency: Mapping[str, Residency]) -> int:
    """Bytes of the device that components of these sizes take at most: all that are resident, the largest phase of those that
    come and go, and of the others a group."""
    resident, grouped = 0, 0
    phases: dict[str, int] = {}
    for name, size in sizes.items():
        where = residency.get(name, Residency.RESIDENT)
        if where is Residency.PHASE:
            phase = "encode" if "encoder" in name else "denoise" if name.startswith(_DENOISING) else "decode"
            phases[phase] = phases.get(phase, 0) + size
        elif where is Residency.GROUP_OFFLOAD:
            grouped = max(grouped, int(size * _GROUP_SHARE))
        else:
            resident += size
    return resident + max(phases.values(), default=0) + grouped
