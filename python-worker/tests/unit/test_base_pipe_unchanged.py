"""Whatever an attempt does, the pipeline it was made from stays as it was loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from safelight_worker.engine.events import Cancelled
from safelight_worker.types import Plan
from tests.support import tiny_other
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


@pytest.fixture(scope="module")
def pixart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class that is run as whole calls."""
    return tiny_other.write("pixart", tmp_path_factory.mktemp("models") / "pixart")


@pytest.fixture(params=["sd", "sdxl", "sd3", "flux", "pixart"])
def folder(request: pytest.FixtureRequest, folders: dict[str, Path], pixart_folder: Path) -> Path:
    return {**folders, "pixart": pixart_folder}[request.param]


def _plan(bench: Workbench, folder: Path, prompt: str = "a red circle") -> Plan:
    scheduler = "" if folder.name in ("sd3", "flux") else "EulerAncestralDiscreteScheduler"
    return bench.plan(folder, scheduler=scheduler, guidance_scale=3.0, prompt=prompt)


def test_after_a_success(bench: Workbench, folder: Path) -> None:
    pipe = bench.load(folder).model.pipe
    before = portrait(pipe)
    bench.run(_plan(bench, folder))
    assert portrait(pipe) == before


@pytest.mark.parametrize("component", ["text_encoder", "denoiser", "vae"])
def test_after_a_failure(bench: Workbench, folder: Path, component: str) -> None:
    pipe = bench.load(folder).model.pipe
    before = portrait(pipe)
    parts: dict[str, Any] = pipe.components
    parts = {**parts, "denoiser": parts.get("unet") or parts.get("transformer")}
    module, name = (pipe.vae, "decode") if component == "vae" else (parts[component], "forward")

    def breaking(_original: Any) -> Any:
        def run(*_: Any, **__: Any) -> Any:
            raise RuntimeError("boom")

        return run

    had = name in vars(module)
    with replaced(module, name, breaking):
        # A prompt of its own: one that came before would not be encoded.
        plan = _plan(bench, folder, prompt=f"a prompt for the {component}")
        assert "boom" in bench.submit(plan).failed().message
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


def test_what_a_call_changes_on_shared_modules_is_put_back(bench: Workbench, pixart_folder: Path) -> None:
    """Some calls cast the VAE, others swap attention processors; when one breaks off, nobody else would restore them."""
    loaded = bench.load(pixart_folder)
    assert loaded.runner.kind == "exclusive"
    pipe = loaded.model.pipe
    before = portrait(pipe)

    def meddling(_original: Any) -> Any:
        def run(*_: Any, **__: Any) -> Any:
            pipe.vae.to(torch.float64)
            pipe.vae.enable_tiling()
            pipe.transformer.set_default_attn_processor()
            raise RuntimeError("boom")

        return run

    with replaced(pipe.vae, "decode", meddling):
        assert "boom" in bench.submit(_plan(bench, pixart_folder)).failed().message
    del pipe.vae.decode
    assert portrait(pipe) == before


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux"])
def test_a_vae_that_a_step_adapter_cast_comes_back_when_the_decode_breaks_off(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    """SDXL's is cast up around its use."""
    pipe = bench.load(folders[family]).model.pipe
    before = portrait(pipe)

    def meddling(_original: Any) -> Any:
        def run(*_: Any, **__: Any) -> Any:
            pipe.vae.to(torch.float64)
            raise RuntimeError("boom")

        return run

    with replaced(pipe.vae, "decode", meddling):
        assert "boom" in bench.submit(_plan(bench, folders[family])).failed().message
    del pipe.vae.decode
    assert portrait(pipe) == before
