"""Which step adapter serves which pipeline class. A class without one runs exclusively."""

from __future__ import annotations

from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.sd15 import Sd15Adapter

_ADAPTERS = {"StableDiffusionPipeline": Sd15Adapter}


def adapter_for(model: LoadedModel) -> Sd15Adapter | None:
    """A step adapter for a loaded model, or None."""
    adapter = _ADAPTERS.get(model.pipeline_class)
    return None if adapter is None else adapter(model)
