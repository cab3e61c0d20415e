"""Which step adapter serves which pipeline class. A class without one runs exclusively."""

from __future__ import annotations

from safelight_worker.pipelines.adapter import StepAdapter
from safelight_worker.pipelines.flux import FluxAdapter
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.sd3 import Sd3Adapter
from safelight_worker.pipelines.sd15 import Sd15Adapter
from safelight_worker.pipelines.sdxl import SdxlAdapter

#: Every class of a family - a model may have been saved from any of them - is served by its adapter.
FAMILIES: tuple[type[StepAdapter], ...] = (Sd15Adapter, SdxlAdapter, Sd3Adapter, FluxAdapter)

_ADAPTERS = {cls.__name__: adapter for adapter in FAMILIES for cls in adapter.classes.values()}


def adapter_for(model: LoadedModel) -> StepAdapter | None:
    """A step adapter for a loaded model, or None."""
    adapter = _ADAPTERS.get(model.pipeline_class)
    return None if adapter is None else adapter(model)
