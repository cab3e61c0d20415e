"""Slicing and tiling for one call, and that nothing of them stays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan
from diffusers.models.attention_processor import AttnProcessor2_0, SlicedAttnProcessor

from safelight_worker.placement.attention_options import attention_options
from safelight_worker.placement.vae_options import vae_options
from safelight_worker.types import FailureKind, Tiling, WorkerError
from tests.support import tiny


@pytest.fixture
def vae() -> AutoencoderKL:
    return tiny.sd().vae


def state(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name.startswith(("use_", "tile_"))}


@torch.no_grad()
@pytest.mark.parametrize(("tiling", "limit"), [(Tiling.TILED, 0.1), (Tiling.AGGRESSIVE, 0.25)])
def test_a_picture_above_the_tile_is_close_to_the_whole_one(tiling: Tiling, limit: float) -> None:
    # Each tile is normalised over its own pixels, so that small tiles of noise differ more: 0.05 and 0.15 were seen.
    torch.manual_seed(0)
    vae = AutoencoderKL.from_config({**tiny.sd().vae.config, "sample_size": 256}).eval()
    latents = torch.randn(1, 4, 96, 96, generator=torch.Generator().manual_seed(0))
    before = state(vae)
    whole = vae.decode(latents).sample
    with vae_options(vae, False, tiling):
        cut = vae.decode(latents).sample
    assert state(vae) == before
    assert cut.shape == whole.shape
    assert not torch.equal(cut, whole)
    spread = (whole - whole.mean()).abs().mean()
    assert (cut - whole).abs().mean() < limit * spread


@torch.no_grad()
def test_aggressive_tiles_have_half_the_side(vae: AutoencoderKL) -> None:
    with vae_options(vae, False, Tiling.AGGRESSIVE):
        assert (vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size) == (True, 32, 8)
    assert (vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size) == (False, 64, 16)


def test_a_vae_with_heights_and_strides_is_halved_in_all_of_them() -> None:
    vae = AutoencoderKLWan(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
    )
    before = state(vae)
    with vae_options(vae, False, Tiling.AGGRESSIVE):
        assert (vae.tile_sample_min_height, vae.tile_sample_min_width) == (128, 128)
        assert (vae.tile_sample_stride_height, vae.tile_sample_stride_width) == (96, 96)
    assert state(vae) == before


@torch.no_grad()
def test_slicing_gives_the_same_bits_as_one_by_one(vae: AutoencoderKL) -> None:
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with vae_options(vae, True, Tiling.OFF):
        assert vae.use_slicing
        sliced = vae.decode(latents).sample
    assert not vae.use_slicing
    assert torch.equal(sliced, torch.cat([vae.decode(row[None]).sample for row in latents]))


def test_an_exception_inside_leaves_no_flag_behind(vae: AutoencoderKL) -> None:
    before = state(vae)
    seen: list[dict[str, Any]] = []

    def decode() -> None:
        with vae_options(vae, True, Tiling.AGGRESSIVE):
            seen.append(state(vae))
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        decode()
    assert seen != [before]
    assert state(vae) == before


@pytest.mark.parametrize(
    ("slicing", "tiling", "field"),
    [(False, Tiling.TILED, "memory.vae_tiling"), (True, Tiling.OFF, "memory.vae_slicing")],
)
def test_a_vae_without_it_is_refused_by_name(slicing: bool, tiling: Tiling, field: str) -> None:
    module = torch.nn.Linear(2, 2)
    with pytest.raises(WorkerError) as caught, vae_options(module, slicing, tiling):
        pass
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, field)
    with vae_options(module, False, Tiling.OFF):
        pass


@torch.no_grad()
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_sliced_attention_is_close_and_its_processors_go(family: str) -> None:
    unet = tiny.BUILDERS[family]().unet
    before = dict(unet.attn_processors)
    generator = torch.Generator().manual_seed(0)
    width = unet.config.cross_attention_dim
    arguments: dict[str, Any] = {
        "sample": torch.randn(2, 4, 16, 16, generator=generator),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(2, 7, width, generator=generator),
    }
    if family == "sdxl":
        arguments["added_cond_kwargs"] = {"text_embeds": torch.zeros(2, 16), "time_ids": torch.zeros(2, 6)}
    whole = unet(**arguments).sample
    with attention_options(unet, True):
        assert {type(each) for each in unet.attn_processors.values()} == {SlicedAttnProcessor}
        sliced = unet(**arguments).sample
    assert unet.attn_processors == before
    assert {type(each) for each in before.values()} == {AttnProcessor2_0}
    torch.testing.assert_close(sliced, whole, rtol=1e-4, atol=1e-4)


def test_an_exception_inside_leaves_the_processors_as_they_were() -> None:
    unet = tiny.sd().unet
    before = dict(unet.attn_processors)
    with pytest.raises(RuntimeError, match="inside"), attention_options(unet, True):
        raise RuntimeError("inside")
    assert unet.attn_processors == before


def test_a_denoiser_without_slices_is_left_alone() -> None:
    module = torch.nn.Linear(2, 2)
    before = dict(vars(module))
    with attention_options(module, True):
        assert vars(module) == before
