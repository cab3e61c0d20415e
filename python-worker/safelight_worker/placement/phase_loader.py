"""Has a component's weights on the device while its phase runs, and on the host otherwise.

Weights never change, so going off the device copies nothing: each tensor keeps a master on the host (pinned where the device
is CUDA) and is pointed back at it. accelerate's model offload copies back each time and moves whole pipelines at the end of a
call, under other requests in flight; this does neither.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from safelight_worker.placement.group_offload import install_group_offload, remove_group_offload
from safelight_worker.types import FailureKind, Phase, Residency, WorkerError

log = logging.getLogger(__name__)

_HOST = torch.device("cpu")


class PhaseLoader:
    """The components of one model. Belongs to the engine thread.

    ``phases`` tells which components each phase needs; a phase that is not named needs none.
    """

    def __init__(
        self,
        components: Mapping[str, torch.nn.Module],
        device: torch.device,
        phases: Mapping[Phase, frozenset[str]],
    ) -> None:
        self._components = dict(components)
        self._device = device
        self._phases = phases
        self._residency = dict.fromkeys(self._components, Residency.RESIDENT)
        self._masters: dict[str, dict[int, tuple[torch.Tensor, torch.Tensor]]] = {}
        """By component: its tensors by identity, each with its master. Holding the tensor keeps the identity its own."""
        self._off: set[str] = set()
        for name, module in self._components.items():
            if any(tensor.device != device for tensor in _tensors(module)):
                # As it was loaded: what lies on the host is its own master until the component is asked for.
                self._keep_masters(name)
                self._off.add(name)

    @property
    def residency(self) -> Mapping[str, Residency]:
        """Of every component, as it was last applied."""
        return dict(self._residency)

    def apply(self, residency: Mapping[str, Residency]) -> None:
        """Sets where components lie from now on; who is not named is resident.

        Raises:
            WorkerError: ``invalid_request`` naming ``memory.residency.<component>`` when there is no such component, or when
                its weights cannot be moved (quantized ones).
        """
        for name, wanted in residency.items():
            if name not in self._components:
                raise _refused(name, f"the model has {', '.join(sorted(self._components))}")
            if wanted is not Residency.RESIDENT and any(
                _is_packed(tensor) for tensor in _tensors(self._components[name])
            ):
                raise _refused(name, "its weights are quantized and stay where they are")
        for name in self._components:
            self._set(name, residency.get(name, Residency.RESIDENT))

    def enter(self, phase: Phase) -> None:
        """Has what a phase needs on the device, see :meth:`need`."""
        self.need(self._phases.get(phase, frozenset()))

    def need(self, needed: frozenset[str]) -> None:
        """Has these components on the device, and off it what has PHASE residency and is not among them: before, so that two
        phases' weights never lie there side by side."""
        for name, residency in self._residency.items():
            if residency is Residency.PHASE and name not in needed and name not in self._off:
                self._offload(name)
        for name in needed & self._off:
            self._onload(name)

    def on_device(self) -> frozenset[str]:
        """Components whose weights lie on the device as a whole."""
        grouped = {name for name, each in self._residency.items() if each is Residency.GROUP_OFFLOAD}
        return frozenset(self._components) - self._off - grouped

    def bytes_on_device(self) -> int:
        """Bytes of their weights."""
        tensors = {id(t): t for name in self.on_device() for t in _tensors(self._components[name])}
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())

    def refresh(self) -> None:
        """Layers were added to a module or taken away: groups learn of them, and masters of those that are gone are dropped."""
        for name, residency in self._residency.items():
            self._forget_gone(name)
            if residency is Residency.GROUP_OFFLOAD:
                remove_group_offload(self._components[name])
                install_group_offload(self._components[name], self._device)

    def close(self) -> None:
        """Takes hooks off. The modules hold real weights again, on the host where they were off the device."""
        for name, residency in self._residency.items():
            if residency is Residency.GROUP_OFFLOAD:
                self._leave_groups(name)
            self._put_back(name)

    def _set(self, name: str, wanted: Residency) -> None:
        current = self._residency[name]
        if wanted is current:
            return
        log.info("residency changes", extra={"component": name, "residency": wanted.value})
        if current is Residency.GROUP_OFFLOAD:
            self._leave_groups(name)
        # From here to the end it is resident, so that a failure leaves no books of hooks that are not there.
        self._residency[name] = Residency.RESIDENT
        if wanted is Residency.GROUP_OFFLOAD:
            self._put_back(name)
            try:
                install_group_offload(self._components[name], self._device)
            except BaseException:
                # No memory to pin, for one. Some groups may have hooks by now, some tensors may have moved.
                self._leave_groups(name)
                raise
        elif wanted is Residency.PHASE and name in self._off and self._device.type == "cuda":
            self._pin_masters(name)
        self._residency[name] = wanted

    def _leave_groups(self, name: str) -> None:
        """Takes hooks off; from then on the component is off the device. A forward that broke off leaves a group on it."""
        module = self._components[name]
        remove_group_offload(module)
        with torch.inference_mode(False), torch.no_grad():
            for tensor in _tensors(module):
                tensor.data = tensor.data.to(_HOST)
        self._masters.pop(name, None)
        self._keep_masters(name)
        self._off.add(name)

    def _put_back(self, name: str) -> None:
        """Has a component's real weights in its module again, on the host where it was off the device."""
        for tensor, master in self._masters.pop(name, {}).values():
            if name in self._off:
                tensor.data = master
        self._off.discard(name)

    def _forget_gone(self, name: str) -> None:
        present = {id(tensor) for tensor in _tensors(self._components[name])}
        masters = self._masters.get(name, {})
        for gone in masters.keys() - present:
            del masters[gone]

    def _offload(self, name: str) -> None:
        self._keep_masters(name)
        with torch.inference_mode(False), torch.no_grad():
            for tensor, master in self._masters[name].values():
                tensor.data = self._absent(master)
        self._off.add(name)

    def _keep_masters(self, name: str) -> None:
        """Gives each tensor that has none a master on the host. Two over one storage (tied embeddings) share one, and so one copy
        on the device again."""
        masters = self._masters.setdefault(name, {})
        by_place: dict[tuple[Any, ...], torch.Tensor] = {}
        with torch.inference_mode(False), torch.no_grad():
            for tensor in _tensors(self._components[name]):
                if id(tensor) not in masters:
                    place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape)
                    if place not in by_place:
                        by_place[place] = self._master(tensor)
                    masters[id(tensor)] = (tensor, by_place[place])

    def _pin_masters(self, name: str) -> None:
        """Of a component that is off the device. As they were loaded they are pageable, and come in several times slower."""
        pinned: dict[int, torch.Tensor] = {}
        with torch.inference_mode(False), torch.no_grad():
            for key, (tensor, master) in self._masters[name].items():
                if id(master) not in pinned:
                    pinned[id(master)] = master.pin_memory()
                # Before the next, so that not all of it lies on the host twice.
                tensor.data = pinned[id(master)]
                self._masters[name][key] = (tensor, pinned[id(master)])

    def _onload(self, name: str) -> None:
        masters = self._masters[name]
        with torch.inference_mode(False), torch.no_grad():
            # A pipeline may have cast the module while it was away (SDXL's VAE in float16): then it comes in that dtype.
            loaded: dict[tuple[int, torch.dtype], torch.Tensor] = {}
            for tensor, master in masters.values():
                if (id(master), tensor.dtype) not in loaded:
                    loaded[id(master), tensor.dtype] = self._present(master).to(tensor.dtype)
            # Born while their module was on the host: layers of a LoRA.
            born = [each for each in _tensors(self._components[name]) if id(each) not in masters]
            brought = [(each, each.data.to(self._device)) for each in born]
            # Nothing may fail from here on: a component is on the device as a whole or not at all.
            for tensor, master in masters.values():
                tensor.data = loaded[id(master), tensor.dtype]
            for tensor, data in brought:
                tensor.data = data
        self._off.discard(name)
        if self._residency[name] is Residency.RESIDENT:
            # It stays; its host memory is better used otherwise.
            del self._masters[name]

    def _master(self, tensor: torch.Tensor) -> torch.Tensor:
        host = tensor.data.to(_HOST)
        return host.pin_memory() if tensor.device.type == "cuda" else host

    def _present(self, master: torch.Tensor) -> torch.Tensor:
        return master.to(self._device, non_blocking=True)

    def _absent(self, master: torch.Tensor) -> torch.Tensor:
        """What a tensor holds while it is off the device. Where the device is the host, too, being off must still show: one
        value that is no number in the shape of the weights, so that whoever uses them unasked gets no picture."""
        if self._device.type != "cpu" or not master.is_floating_point():
            return master
        return master.new_full((1,) * master.dim(), torch.nan).expand(master.shape)


def _tensors(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _is_packed(tensor: torch.Tensor) -> bool:
    """Whether a tensor is of a quantization backend's own class, whose data are more than its storage."""
    return type(tensor.data) is not torch.Tensor or type(tensor) not in (torch.Tensor, torch.nn.Parameter)


def _refused(name: str, why: str) -> WorkerError:
    message = f"memory.residency.{name} cannot be followed: {why}"
    return WorkerError(FailureKind.INVALID_REQUEST, message, f"memory.residency.{name}")
