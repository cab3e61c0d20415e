"""IP-Adapters of one model: loaded when first asked for, attached to the UNet only while a request that names one runs.

Attaching exchanges the UNet's attention processors and its projection of foreign conditions; no weight of the UNet is touched,
so a UNet they were taken off computes bit for bit what it did before.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from safelight_worker.memory.out_of_memory import is_out_of_memory
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.types import FailureKind, IpAdapterInput, WorkerError

log = logging.getLogger(__name__)

#: IP-Adapters a model keeps loaded, each up to some 800 MB (SDXL plus).
KEPT = 2

#: Image encoders a model keeps loaded, each 1 to 4 GB in half precision; adapters of one folder share theirs.
KEPT_ENCODERS = 1

#: Parts of a weight file, by the start of its tensors' names.
_PARTS = ("image_proj", "ip_adapter")


@dataclass(frozen=True)
class _Attachment:
    """What an IP-Adapter puts into a UNet, and what prepares pictures for its image encoder."""

    processors: dict[str, Any]
    projection: torch.nn.Module
    feature_extractor: Any


class IpAdapters:
    """Belongs to the engine thread."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._loaded: OrderedDict[Path, _Attachment] = OrderedDict()
        self._encoders: OrderedDict[Path, Any] = OrderedDict()

    @contextmanager
    def attached(self, view: Any, use: IpAdapterInput | None) -> Iterator[None]:
        """The adapter is on the UNet of the request view inside, with the scale asked for, and off it afterwards.

        Raises:
            WorkerError: ``model_unavailable`` when the weight file or an image encoder for it is missing or damaged,
                ``invalid_request`` when it was not made for this model.
        """
        if use is None:
            yield
            return
        if view.image_encoder is None:
            vars(view)["image_encoder"] = self._encoder(use)
        with _kept(view.unet):
            self._attach(view, use)
            view.set_ip_adapter_scale(use.scale)
            yield

    def close(self) -> None:
        """Forgets them all."""
        self._loaded.clear()
        self._encoders.clear()

    def _attach(self, view: Any, use: IpAdapterInput) -> None:
        attachment = self._loaded.get(use.source)
        if attachment is None:
            attachment = self._load(view, use)
            while len(self._loaded) >= KEPT:
                self._loaded.popitem(last=False)
            self._loaded[use.source] = attachment
        else:
            unet = view.unet
            unet.set_attn_processor(dict(attachment.processors))
            unet.encoder_hid_proj = attachment.projection
            unet.config.encoder_hid_dim_type = "ip_image_proj"
            vars(view)["feature_extractor"] = attachment.feature_extractor
        self._loaded.move_to_end(use.source)

    def _load(self, view: Any, use: IpAdapterInput) -> _Attachment:
        """Loads it onto the UNet, where it stays."""
        log.info("loading an IP-Adapter", extra={"ip_adapter": use.id, "source": str(use.source)})
        weights = _read(use)
        if any("to_k_lora" in name for name in weights["ip_adapter"]):
            raise _invalid(use, "FaceID adapters need a face detector, which this worker has not")
        try:
            view.load_ip_adapter(weights, subfolder="", weight_name="", image_encoder_folder=None)
        except Exception as error:
            # Whatever the conversion stumbles over first: names, shapes, missing layers.
            if is_out_of_memory(error):
                raise
            raise _invalid(use, f"it was not made for this model: {error}") from error
        projection = view.unet.encoder_hid_proj
        for module in (projection, *view.unet.attn_processors.values()):
            if isinstance(module, torch.nn.Module):
                module.to(self._model.device).eval().requires_grad_(False)
        return _Attachment(dict(view.unet.attn_processors), projection, view.feature_extractor)

    def _encoder(self, use: IpAdapterInput) -> Any:
        """The image encoder that lies beside the weight file, for models that came without one."""
        folder = use.source.parent / "image_encoder"
        if folder not in self._encoders:
            if not (folder / "config.json").is_file():
                why = f"the model has no image_encoder and {folder} holds none"
                raise _unavailable(use, why)
            try:
                encoder = CLIPVisionModelWithProjection.from_pretrained(
                    folder, dtype=self._model.dtype, local_files_only=True, use_safetensors=True
                )
            except Exception as error:
                # Damaged files surface as whatever their reader raises.
                if is_out_of_memory(error):
                    raise
                raise _unavailable(use, f"the image encoder in {folder} cannot be loaded: {error}") from error
            while len(self._encoders) >= KEPT_ENCODERS:
                self._encoders.popitem(last=False)
            self._encoders[folder] = encoder.to(self._model.device).eval().requires_grad_(False)
        return self._encoders[folder]


@contextmanager
def _kept(unet: Any) -> Iterator[None]:
    """Puts back what an IP-Adapter exchanges on a UNet, also when loading one breaks off halfway."""
    processors, projection = dict(unet.attn_processors), unet.encoder_hid_proj
    kind = unet.config.encoder_hid_dim_type
    renamed = hasattr(unet, "text_encoder_hid_proj")
    try:
        yield
    finally:
        unet.set_attn_processor(dict(processors))
        # Deleted first: a None in place of a module would stay among the UNet's parts.
        del unet.encoder_hid_proj
        unet.encoder_hid_proj = projection
        unet.config.encoder_hid_dim_type = kind
        if not renamed and hasattr(unet, "text_encoder_hid_proj"):
            del unet.text_encoder_hid_proj


def _read(use: IpAdapterInput) -> dict[str, dict[str, Tensor]]:
    if not use.source.is_file():
        raise _unavailable(use, f"{use.source} is no file")
    weights: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    try:
        with safe_open(use.source, framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118  it is no mapping
                part, _, rest = name.partition(".")
                if part in weights:
                    weights[part][rest] = file.get_tensor(name)
    except Exception as error:
        # safetensors raises an error class of its own for a damaged file, and OSError.
        raise _unavailable(use, f"{use.source} cannot be read as safetensors: {error}") from error
    if not all(weights.values()):
        raise _invalid(use, f"{use.source.name} holds no tensors of {' and '.join(_PARTS)}")
    return weights


def _unavailable(use: IpAdapterInput, why: str) -> WorkerError:
    return WorkerError(FailureKind.MODEL_UNAVAILABLE, f"IP-Adapter {use.id}: {why}", "ip_adapter")


def _invalid(use: IpAdapterInput, why: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, f"IP-Adapter {use.id}: {why}", "ip_adapter")
