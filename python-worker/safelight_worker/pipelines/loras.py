"""LoRAs of one model: loaded when first asked for, active only while a request that names them runs.

Never fused into the weights: that would round them, and another request's picture with them. A model whose LoRAs are all
inactive computes bit for bit what it did before they were loaded.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open

from safelight_worker.memory.out_of_memory import is_out_of_memory
from safelight_worker.types import FailureKind, LoraUse, WorkerError

log = logging.getLogger(__name__)

#: LoRAs a model keeps loaded; each is tens of megabytes.
KEPT = 8

#: Beginnings of the names of tensors that belong to text encoders: diffusers' own, those of kohya's scripts, OneTrainer's.
_OF_TEXT_ENCODERS = ("text_encoder", "lora_te", "clip_", "t5.", "bundle_emb")


class Loras:
    """Belongs to the engine thread."""

    def __init__(self, pipe: Any, kept: int = KEPT) -> None:
        self._pipe = pipe
        self._kept = kept
        self._names: OrderedDict[Path, str] = OrderedDict()
        self._loads = 0
        self._layers_changed = False
        self._active: tuple[LoraUse, ...] = ()

    def activate(self, uses: Sequence[LoraUse]) -> bool:
        """Makes exactly these active, each with its weight; loads what is missing. One that is named twice counts with the sum.
        True: layers of modules came or went since this was last told.

        Raises:
            WorkerError: ``model_unavailable`` when the file of one is missing or damaged, ``invalid_request`` when it does not
                fit the model; both name it.
        """
        wanted = tuple(uses)
        if wanted == self._active:
            return False
        if not hasattr(self._pipe, "load_lora_weights"):
            raise _refused(wanted[0], f"a {type(self._pipe).__name__} takes none")
        weights: dict[str, float] = {}
        try:
            for use in wanted:
                name = self._name(use, wanted)
                weights[name] = weights.get(name, 0.0) + use.weight
            self._switch(weights)
        except BaseException:
            # What is active now is not known; the next call sets all of it anew.
            self._active = (LoraUse("", Path()),)
            raise
        changed, self._layers_changed = self._layers_changed, False
        self._active = wanted
        return changed

    def _switch(self, weights: Mapping[str, float]) -> None:
        if weights:
            self._pipe.enable_lora()
            self._pipe.set_adapters(list(weights), list(weights.values()))
        elif self._names:
            self._pipe.disable_lora()

    def _name(self, use: LoraUse, wanted: Sequence[LoraUse]) -> str:
        if use.source not in self._names:
            keep = {each.source for each in wanted}
            # Read before anything leaves for it.
            tensors = _tensor_names(use)
            self._layers_changed = True
            for source in [each for each in self._names if each not in keep][
                : max(0, len(self._names) + 1 - self._kept)
            ]:
                self._pipe.delete_adapters([self._names.pop(source)])
            self._loads += 1
            self._names[use.source] = self._load(use, f"lora_{self._loads}", tensors)
        self._names.move_to_end(use.source)
        return self._names[use.source]

    def _load(self, use: LoraUse, name: str, tensors: Sequence[str]) -> str:
        log.info("loading a LoRA", extra={"lora": use.id, "source": str(use.source)})
        try:
            # Weights are ordinary tensors: those born in inference_mode could never be moved or deleted.
            with torch.inference_mode(False), torch.no_grad():
                self._pipe.load_lora_weights(
                    str(use.source.parent),
                    weight_name=use.source.name,
                    adapter_name=name,
                    local_files_only=True,
                    use_safetensors=True,
                )
            self._check_matches(use, name, tensors)
        except Exception as error:
            # Whatever the reader or the injection of layers raises; what they left behind must not stay.
            self._forget(name)
            if isinstance(error, WorkerError) or is_out_of_memory(error):
                raise
            raise _refused(use, f"it cannot be applied to this model: {error}") from error
        return name

    def _check_matches(self, use: LoraUse, name: str, tensors: Sequence[str]) -> None:
        """diffusers passes over parts that the model has not; CLIP is the same in many families, so that the text encoder's
        part of a LoRA of another family would be all that works."""
        parts = [part for part, module in self._modules().items() if _has_adapter(module, name)]
        if not parts:
            raise _refused(use, "it matches no layer of this model")
        of_denoiser = [each for each in tensors if not each.startswith(_OF_TEXT_ENCODERS)]
        if of_denoiser and all(part.startswith("text_encoder") for part in parts):
            raise _refused(use, f"its {of_denoiser[0]} matches no layer of this model; it is of another family")

    def _forget(self, name: str) -> None:
        if any(_has_adapter(module, name) for module in self._modules().values()):
            self._pipe.delete_adapters([name])

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {part: each for part, each in self._pipe.components.items() if isinstance(each, torch.nn.Module)}


def _tensor_names(use: LoraUse) -> list[str]:
    if not use.source.is_file():
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"LoRA {use.id}: {use.source} is no file", "loras")
    try:
        with safe_open(use.source, framework="pt") as file:
            return list(file.keys())
    except Exception as error:
        # The reader's own error has no public name in common with those of the system.
        message = f"LoRA {use.id}: {use.source} is damaged or no safetensors file: {error}"
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, message, "loras") from error


def _has_adapter(module: torch.nn.Module, name: str) -> bool:
    """Whether a layer carries the adapter, or the module has it in its books."""
    layers = (layer for layer in module.modules() if isinstance(layer, BaseTunerLayer))
    carried = any(name in getattr(layer, attribute, ()) for layer in layers for attribute in layer.adapter_layer_names)
    return carried or name in (getattr(module, "peft_config", None) or {})


def _refused(use: LoraUse, why: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, f"LoRA {use.id}: {why}", "loras")
