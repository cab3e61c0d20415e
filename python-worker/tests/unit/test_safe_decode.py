"""A VAE that overflows in half precision decodes once more in float32; what shows nothing then, too, is rejected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from safelight_worker.runners.safe_decode import decode_again_in_float32, shows_nothing
from safelight_worker.types import FailureKind, MemoryPlan, Phase, Residency, Tiling
from tests.support import tiny
from tests.support.engines import Workbench, same

FAMILIES = ("sd", "sdxl", "sd3", "flux")


def overflowing(family: str, folder: Path) -> Path:
    """A model whose VAE's decoder goes beyond 65504 on the way and comes back: right in float32, NaN in float16."""
    pipe: Any = tiny.BUILDERS[family]()
    with torch.no_grad():
        conv = pipe.vae.decoder.conv_in
        conv.weight.mul_(6e4 / conv.weight.abs().max())
    # Weights of that size stay within float16; what they make of latents does not.
    assert conv.weight.half().isfinite().all()
    pipe.save_pretrained(folder)
    return folder


def blank(family: str, folder: Path) -> Path:
    """A model whose VAE paints one colour whatever it is given."""
    pipe: Any = tiny.BUILDERS[family]()
    with torch.no_grad():
        pipe.vae.decoder.conv_out.weight.zero_()
        pipe.vae.decoder.conv_out.bias.fill_(0.25)
    pipe.save_pretrained(folder)
    return folder


def half(bench: Workbench, folder: Path) -> Any:
    """The loaded model, with its VAE alone in float16: the CPU computes the rest in float32 much faster."""
    loaded = bench.load(folder)
    loaded.model.pipe.vae.to(torch.float16)
    return loaded


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "memory",
    [
        MemoryPlan(),
        MemoryPlan(residency={"vae": Residency.PHASE}, vae_tiling=Tiling.TILED),
        MemoryPlan(residency={"vae": Residency.GROUP_OFFLOAD}),
    ],
    ids=["resident", "phase", "group"],
)
def test_a_decode_that_overflows_is_done_again_and_the_picture_is_right(
    fresh_bench: Workbench, tmp_path: Path, family: str, memory: MemoryPlan
) -> None:
    bench, folder = fresh_bench, overflowing(family, tmp_path / family)
    vae = half(bench, folder).model.pipe.vae
    plan = bench.plan(folder, memory=memory)
    told = bench.submit(plan).succeeded().effective
    (picture,) = bench.pictures.pop(plan.attempt_id)
    assert told.decoded_in_float32
    assert vae.dtype == torch.float16
    assert {tensor.dtype for tensor in vae.parameters()} == {torch.float16}
    assert not any(tensor.is_inference() for tensor in vae.parameters())
    assert picture.std() > 0.01
    resident = replace(memory, residency={})
    assert bench.submit(bench.plan(folder, memory=resident)).succeeded().effective.decoded_in_float32
    vae.to(torch.float32)
    plan = bench.plan(folder, memory=resident)
    told = bench.submit(plan).succeeded().effective
    (whole,) = bench.pictures.pop(plan.attempt_id)
    assert not told.decoded_in_float32
    # The weights were rounded to float16 once; float32 of the same weights draws the same bits.
    assert same(whole, picture)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_decode_that_is_right_is_done_once(bench: Workbench, folders: dict[str, Path], family: str) -> None:
    vae = bench.load(folders[family]).model.pipe.vae
    calls: list[torch.dtype] = []
    hook = vae.decoder.register_forward_pre_hook(lambda *_: calls.append(vae.dtype))
    try:
        (whole,) = bench.run(bench.plan(folders[family]))
        vae.to(torch.float16)
        plan = bench.plan(folders[family])
        told = bench.submit(plan).succeeded().effective
    finally:
        hook.remove()
        vae.to(torch.float32)
    (rounded,) = bench.pictures.pop(plan.attempt_id)
    assert calls == [torch.float32, torch.float16]
    assert not told.decoded_in_float32
    assert np.abs(whole - rounded).max() < 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_one_that_is_blank_in_float32_too_is_rejected(fresh_bench: Workbench, tmp_path: Path, family: str) -> None:
    folder = blank(family, tmp_path / family)
    vae = half(fresh_bench, folder).model.pipe.vae
    calls: list[torch.dtype] = []
    vae.decoder.register_forward_pre_hook(lambda *_: calls.append(vae.dtype))
    failed = fresh_bench.submit(fresh_bench.plan(folder)).failed()
    assert (failed.kind, failed.phase) == (FailureKind.REJECTED_OUTPUT, Phase.VALIDATE)
    assert calls == [torch.float16, torch.float32]
    assert vae.dtype == torch.float16


def test_one_that_is_nan_in_float32_is_rejected_without_a_second_try(fresh_bench: Workbench, sd_folder: Path) -> None:
    vae = fresh_bench.load(sd_folder).model.pipe.vae
    with torch.no_grad():
        vae.decoder.conv_in.bias.fill_(torch.nan)
    failed = fresh_bench.submit(fresh_bench.plan(sd_folder)).failed()
    assert failed.kind is FailureKind.REJECTED_OUTPUT


def test_whatever_happens_the_weights_come_out_in_their_dtypes() -> None:
    vae: Any = tiny.sd().vae.to(torch.float16)
    # Some layers stay in float32 on purpose.
    vae.decoder.conv_norm_out.to(torch.float32)
    before = {name: tensor.clone() for name, tensor in vae.named_parameters()}
    dtypes: set[torch.dtype] = set()

    def broken() -> torch.Tensor:
        dtypes.update(tensor.dtype for tensor in vae.parameters())
        raise RuntimeError("boom")

    with torch.inference_mode(), pytest.raises(RuntimeError, match="boom"):
        decode_again_in_float32(vae, broken)
    assert dtypes == {torch.float32}
    assert {name: tensor.dtype for name, tensor in vae.named_parameters()} == {n: t.dtype for n, t in before.items()}
    assert all(torch.equal(tensor, before[name]) for name, tensor in vae.named_parameters())


def test_a_lack_of_memory_for_float32_leaves_no_weight_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    vae: Any = tiny.sd().vae.to(torch.float16)
    cast, calls = torch.Tensor.to, [0]

    def full(self: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        moved: torch.Tensor = cast(self, *arguments, **named)
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "to", full)
        with pytest.raises(torch.OutOfMemoryError):
            decode_again_in_float32(vae, lambda: torch.zeros(1))
    assert calls[0] > 5
    assert {tensor.dtype for tensor in vae.parameters()} == {torch.float16}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_what_shows_nothing(dtype: torch.dtype) -> None:
    picture = torch.linspace(-1, 1, 48, dtype=dtype).reshape(1, 3, 4, 4)
    assert not shows_nothing(picture)
    for value in (torch.nan, torch.inf, -torch.inf):
        spoiled = picture.clone()
        spoiled[0, 1, 2, 3] = value
        assert shows_nothing(spoiled)
    assert shows_nothing(torch.full((1, 3, 4, 4), 0.3, dtype=dtype))
    # Beyond white there is only white.
    assert shows_nothing(picture + 3)


def test_a_model_saved_in_half_precision_is_read_in_it_and_saved_pictures_agree(tmp_path: Path) -> None:
    """That the fixture is what it says: NaN in float16, a picture in float32."""
    pipe: Any = DiffusionPipeline.from_pretrained(overflowing("sd", tmp_path / "sd"), local_files_only=True)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not pipe.vae.to(torch.float16).decode(latents.half()).sample.isfinite().all()
        assert pipe.vae.to(torch.float32).decode(latents).sample.isfinite().all()
