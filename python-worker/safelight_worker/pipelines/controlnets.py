"""ControlNets on the device: loaded when first asked for, the least recently used ones forgotten."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel

from safelight_worker.memory.out_of_memory import is_out_of_memory
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.types import FailureKind, WorkerError

log = logging.getLogger(__name__)

#: ControlNets a model keeps, as many as a request may name: those of images in flight are fetched at every step.
KEPT = 8


class ControlNets:
    """Those of one model, in its dtype and on its device. Belongs to the engine thread."""

    def __init__(self, model: LoadedModel, kept: int = KEPT) -> None:
        self._model = model
        self._kept = kept
        self._loaded: OrderedDict[str, Any] = OrderedDict()

    def get(self, name: str, source: str) -> Any:
        """The module.

        Raises:
            WorkerError: ``model_unavailable`` when the folder holds none, ``invalid_request`` when it was made for another
                family.
        """
        if source not in self._loaded:
            module = self._load(name, Path(source))
            # Images in flight fetch theirs anew at each tick, so what is forgotten here comes back when it is needed.
            while len(self._loaded) >= self._kept:
                self._loaded.popitem(last=False)
            self._loaded[source] = module
        self._loaded.move_to_end(source)
        return self._loaded[source]

    def _load(self, name: str, folder: Path) -> Any:
        log.info("loading a ControlNet", extra={"control": name, "source": str(folder)})
        try:
            with torch.inference_mode(False), torch.no_grad():
                module = ControlNetModel.from_pretrained(
                    folder, torch_dtype=self._model.dtype, local_files_only=True, use_safetensors=True
                )
                module.to(self._model.device).eval().requires_grad_(False)
        except Exception as error:
            # Damaged files surface as whatever their reader raises.
            if is_out_of_memory(error):
                raise
            message = f"ControlNet {name}: {folder} cannot be loaded: {error}"
            raise WorkerError(FailureKind.MODEL_UNAVAILABLE, message, "controls") from error
        if module.config.global_pool_conditions:
            # pipe() runs it for the guided rows alone, whose residuals have no height and width.
            message = f"ControlNet {name} pools its picture (shuffle), which is not supported"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, "controls")
        mine, theirs = self._model.pipe.unet.config.cross_attention_dim, module.config.cross_attention_dim
        if mine != theirs:
            message = f"ControlNet {name} was made for text of width {theirs}; {self._model.spec.id} has {mine}"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, "controls")
        return module
