"""Whatever an attempt does, the pipeline it was made from stays as it was loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from safelight_worker.engine.events import Cancelled
from safelight_worker.types import Plan
from tests.support.engines import Workbench
from tests.support.gates import held, replaced


def portrait(pipe: Any) -> dict[str, Any]:
    """Everything about a pipeline that a call might change, but the weights' values."""
    modules: dict[str, Any] = {
        name: each for name, each in pipe.components.items() if isinstance(each, torch.nn.Module)
    }
    return {
        "fields": {n: (id(v) if isinstance(v, torch.nn.Module) else repr(v)) for n, v in vars(pipe).items()},
        "config": repr(pipe.config),
        "configs": {name: repr(module.config) for name, module in modules.items()},
        "scheduler": repr(vars(pipe.scheduler)),
        "dtypes": {name: {str(p.dtype) for p in module.parameters()} for name, module in modules.items()},
        "modes": {name: module.training for name, module in modules.items()},
        "processors": {
            name: {at: id(each) for at, each in module.attn_processors.items()}
            for name, module in modules.items()
            if hasattr(module, "attn_processors")
        },
        "flags": (pipe.vae.use_tiling, pipe.vae.use_slicing),
        "hooks": {name: len(module._forward_hooks) for name, module in modules.items()},
        "sums": {name: sum(float(p.double().sum()) for p in module.parameters()) for name, module in modules.items()},
        "tokenizer": repr(pipe.tokenizer),
    }


@pytest.fixture(params=["sd", "sdxl"])
def folder(request: pytest.FixtureRequest, sd_folder: Path, sdxl_folder: Path) -> Path:
    return {"sd": sd_folder, "sdxl": sdxl_folder}[request.param]


def _plan(bench: Workbench, folder: Path) -> Plan:
    return bench.plan(folder, scheduler="EulerAncestralDiscreteScheduler", guidance_scale=3.0)


def test_after_a_success(bench: Workbench, folder: Path) -> None:
    pipe = bench.load(folder).model.pipe
    before = portrait(pipe)
    bench.run(_plan(bench, folder))
    assert portrait(pipe) == before


@pytest.mark.parametrize("component", ["text_encoder", "unet", "vae"])
def test_after_a_failure(bench: Workbench, folder: Path, component: str) -> None:
    pipe = bench.load(folder).model.pipe
    before = portrait(pipe)
    module, name = (pipe.vae, "decode") if component == "vae" else (getattr(pipe, component), "forward")

    def breaking(_original: Any) -> Any:
        def run(*_: Any, **__: Any) -> Any:
            raise RuntimeError("boom")

        return run

    had = name in vars(module)
    with replaced(module, name, breaking):
        assert "boom" in bench.submit(_plan(bench, folder)).failed().message
    if not had:
        delattr(module, name)
    assert portrait(pipe) == before


def test_after_a_cancel(bench: Workbench, folder: Path) -> None:
    pipe = bench.load(folder).model.pipe
    before = portrait(pipe)
    plan = _plan(bench, folder)
    with held(bench.load(folder).runner, "tick") as gate:
        watcher = bench.submit(plan)
        gate.wait_reached()
        bench.engine.cancel(plan.attempt_id)
        gate.open()
        assert isinstance(watcher.end(), Cancelled)
    assert portrait(pipe) == before


def test_what_a_call_changes_on_shared_modules_is_put_back(bench: Workbench, sdxl_folder: Path) -> None:
    """SDXL casts its VAE, others swap attention processors; when such a call breaks off, nobody else would restore them."""
    loaded = bench.load(sdxl_folder)
    pipe = loaded.model.pipe
    before = portrait(pipe)

    def meddling(_original: Any) -> Any:
        def run(*_: Any, **__: Any) -> Any:
            pipe.vae.to(torch.float64)
            pipe.vae.enable_tiling()
            pipe.unet.set_default_attn_processor()
            raise RuntimeError("boom")

        return run

    with replaced(pipe.vae, "decode", meddling):
        bench.submit(_plan(bench, sdxl_folder)).failed()
    del pipe.vae.decode
    assert portrait(pipe) == before
