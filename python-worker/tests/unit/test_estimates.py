"""What a model will take is known before it is loaded: weights to the byte, activations closely enough to decide by."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from safelight_worker.memory.estimates import (
    PhaseFootprint,
    component_bytes,
    estimate_footprints,
    file_bytes,
    predicted_bytes,
)
from safelight_worker.types import Phase, Tiling
from tests.support import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write("sdxl", tmp_path_factory.mktemp("sdxl"))


def loaded_bytes(folder: Path, dtype: torch.dtype, **options: Any) -> dict[str, int]:
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=dtype, **options)
    modules = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {
        name: sum(weight.numel() * weight.element_size() for weight in module.state_dict().values())
        for name, module in modules.items()
    }


# ------------------------------------------------------------------------------------------------ weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_weights_of_a_pipeline_are_counted_to_the_byte(folder: Path, dtype: torch.dtype) -> None:
    assert component_bytes(folder, dtype.itemsize) == loaded_bytes(folder, dtype)


def test_shards_and_variants_are_counted_as_they_are_loaded(tmp_path: Path) -> None:
    pipe = tiny.sdxl()
    pipe.save_pretrained(tmp_path, max_shard_size="100KB", variant="fp16")
    assert list(tmp_path.glob("unet/*.index.fp16.json"))
    counted = component_bytes(tmp_path, 4, "fp16")
    assert counted == loaded_bytes(tmp_path, torch.float32, variant="fp16")
    assert component_bytes(tmp_path, 4) == {}


def test_a_variant_is_preferred_and_plain_files_stand_in_for_it(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"unet": ["diffusers", "U"], "vae": ["diffusers", "V"]}))
    for name, elements in (("unet/x.fp16", 10), ("unet/x", 99), ("vae/x", 7)):
        file = tmp_path / f"{name.replace('x', 'diffusion_pytorch_model')}.safetensors"
        file.parent.mkdir(exist_ok=True)
        save_file({"weight": torch.zeros(elements)}, file)
    assert component_bytes(tmp_path, 2, "fp16") == {"unet": 20, "vae": 14}
    assert component_bytes(tmp_path, 2) == {"unet": 198, "vae": 14}


def test_only_components_of_the_pipeline_count(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "X", "unet": [None, None]}))
    (tmp_path / "unet").mkdir()
    save_file({"weight": torch.zeros(4)}, tmp_path / "unet" / "model.safetensors")
    assert component_bytes(tmp_path, 2) == {}
    assert set(component_bytes(folder, 2)) == {"text_encoder", "text_encoder_2", "unet", "vae"}


def test_floats_take_the_size_they_are_loaded_in_and_integers_keep_theirs(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    tensors = {
        "half": torch.zeros(3, 5, dtype=torch.float16),
        "brain": torch.zeros(7, dtype=torch.bfloat16),
        "eighth": torch.zeros(4, dtype=torch.float8_e4m3fn),
        "scalar": torch.zeros(()),
        "ids": torch.zeros(2, dtype=torch.int64),
        "bytes": torch.zeros(3, dtype=torch.uint8),
    }
    save_file(tensors, file, metadata={"format": "pt"})
    assert file_bytes(file, 4) == (15 + 7 + 4 + 1) * 4 + 2 * 8 + 3
    assert file_bytes(file, 2) == (15 + 7 + 4 + 1) * 2 + 2 * 8 + 3


def test_a_gguf_file_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + bytes(96))
    assert file_bytes(file, 2) == 100
    with pytest.raises(ValueError, match=r"gone\.gguf"):
        file_bytes(tmp_path / "gone.gguf", 2)


def header(content: object, data: bytes = b"") -> bytes:
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x00",
        bytes(8),
        (1 << 40).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"\xff\xfe{}",
        header([1, 2]),
        header({"w": {"dtype": "F32", "shape": [4]}}),
        header({"w": {"shape": [4], "data_offsets": [0, 0]}}),
        header({"w": 5}),
        header({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(15)),
        b"\x80\x02}q\x00.a pickle",
    ],
    ids=[
        "empty",
        "two bytes",
        "no header",
        "too long",
        "not text",
        "array",
        "no place",
        "no dtype",
        "number",
        "cut",
        "pt",
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.safetensors"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.safetensors"):
        file_bytes(file, 2)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model_index\.json"):
        component_bytes(tmp_path, 2)
    (tmp_path / "model_index.json").write_text('{"unet": ["diffusers", "U"]}')
    index = tmp_path / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.parent.mkdir()
    index.write_text('{"weight_map": {"a": "one.safetensors"}}')
    with pytest.raises(ValueError, match=r"one\.safetensors"):
        component_bytes(tmp_path, 2)
    index.write_text('{"weight_map": {"a": "../../secret.safetensors"}}')
    with pytest.raises(ValueError, match="outside of its folder"):
        component_bytes(tmp_path, 2)
    index.write_text("{}")
    with pytest.raises(ValueError, match="weight_map"):
        component_bytes(tmp_path, 2)


# ------------------------------------------------------------------------------------------------ activations


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors made inside it that are alive at once; no allocator rounds them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if not isinstance(leaf, torch.Tensor):
                continue
            storage = leaf.untyped_storage()
            if storage._cdata not in given and storage not in self.seen:
                self.seen.add(storage)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.let_go, storage.nbytes())
        return result

    def let_go(self, size: int) -> None:
        self.now -= size


def live_peak(run: Callable[[], object]) -> int:
    with torch.no_grad(), LiveTensors() as live:
        run()
    return live.peak


def of(phase: Phase, footprints: tuple[PhaseFootprint, ...]) -> PhaseFootprint:
    return next(footprint for footprint in footprints if footprint.phase is phase)


def close(estimate: int, truth: int) -> bool:
    return 0.9 * truth <= estimate <= 1.6 * truth


@pytest.mark.parametrize(("rows", "side"), [(1, 256), (2, 256), (1, 512)])
@pytest.mark.parametrize("first", ["CrossAttnDownBlock2D", "DownBlock2D"])
def test_a_unet_s_estimate_is_close_to_its_live_tensors(first: str, rows: int, side: int) -> None:
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64, 128),
        down_block_types=(first, "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", first.replace("Down", "Up")),
        layers_per_block=2,
        cross_attention_dim=32,
        attention_head_dim=4,
    ).eval()
    vae = tiny.sd().vae.config
    footprint = of(Phase.DENOISE, estimate_footprints({"unet": unet.config, "vae": vae}, 4))
    latents = torch.zeros(rows, 4, side // 4, side // 4)
    truth = live_peak(lambda: unet(latents, torch.ones(rows), torch.zeros(rows, 8, 32)))
    assert close(predicted_bytes(footprint, rows, side, side), truth), (footprint, truth)


def test_a_transformer_s_estimate_is_close_to_its_live_tensors() -> None:
    vae = {"block_out_channels": (8, 8, 8, 8), "latent_channels": 16}
    sd3 = SD3Transformer2DModel(
        sample_size=64,
        num_layers=2,
        num_attention_heads=4,
        attention_head_dim=32,
        joint_attention_dim=32,
        caption_projection_dim=128,
        pooled_projection_dim=32,
        pos_embed_max_size=64,
    ).eval()
    footprint = of(Phase.DENOISE, estimate_footprints({"transformer": sd3.config, "vae": vae}, 4, text_rows=1))
    inputs = (torch.zeros(1, 16, 128, 128), torch.zeros(1, 512, 32), torch.zeros(1, 32), torch.ones(1))
    truth = live_peak(lambda: sd3(*inputs))
    assert close(predicted_bytes(footprint, 1, 1024, 1024), truth), (footprint, truth)


def test_a_packed_transformer_s_estimate_is_close_to_its_live_tensors() -> None:
    vae = {"block_out_channels": (8, 8, 8, 8), "latent_channels": 16}
    flux = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        num_attention_heads=4,
        attention_head_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(8, 12, 12),
    ).eval()
    footprint = of(Phase.DENOISE, estimate_footprints({"transformer": flux.config, "vae": vae}, 4, text_rows=1))
    inputs = {
        "hidden_states": torch.zeros(1, 1024, 64),
        "encoder_hidden_states": torch.zeros(1, 512, 32),
        "pooled_projections": torch.zeros(1, 32),
        "timestep": torch.ones(1),
        "img_ids": torch.zeros(1024, 3),
        "txt_ids": torch.zeros(512, 3),
    }
    truth = live_peak(lambda: flux(**inputs))
    assert close(predicted_bytes(footprint, 1, 512, 512), truth), (footprint, truth)


@pytest.mark.parametrize(("rows", "side"), [(1, 256), (2, 128)])
def test_a_decoder_s_estimate_is_close_to_its_live_tensors(rows: int, side: int) -> None:
    vae = tiny.sd().vae
    footprint = of(Phase.DECODE, estimate_footprints({"vae": vae.config}, 4))
    latents = torch.zeros(rows, 4, side // 4, side // 4)
    truth = live_peak(lambda: vae.decode(latents))
    assert close(predicted_bytes(footprint, rows, side, side), truth), (footprint, truth)


def test_tiles_bound_the_decoder() -> None:
    vae = tiny.sd().vae
    vae.enable_tiling()
    footprint = of(Phase.DECODE, estimate_footprints({"vae": vae.config}, 4, tiling=Tiling.TILED))
    latents = torch.zeros(1, 4, 64, 64)
    truth = live_peak(lambda: vae.decode(latents))
    predicted = predicted_bytes(footprint, 1, 256, 256)
    assert close(predicted, truth), (footprint, truth)
    whole = of(Phase.DECODE, estimate_footprints({"vae": vae.config}, 4))
    half = of(Phase.DECODE, estimate_footprints({"vae": vae.config}, 4, tiling=Tiling.AGGRESSIVE))
    assert predicted < predicted_bytes(whole, 1, 256, 256)
    assert half.fixed_bytes * 4 == footprint.fixed_bytes


def test_text_encoders_cost_the_same_at_any_size() -> None:
    pipe = tiny.sdxl()
    configs = {name: getattr(pipe, name).config.to_dict() for name in ("text_encoder", "text_encoder_2")}
    footprint = of(Phase.ENCODE, estimate_footprints(configs, 4))
    ids = torch.zeros(2, tiny.MAX_TOKENS, dtype=torch.int64)
    truth = live_peak(lambda: pipe.text_encoder(ids, output_hidden_states=True))
    assert footprint.bytes_per_pixel == 0
    assert 0.7 * truth <= footprint.fixed_bytes <= 2.5 * truth, (footprint, truth)


def test_a_vae_in_float32_takes_twice_what_it_takes_in_half() -> None:
    configs = {"vae": {"block_out_channels": (128, 256, 512, 512)}}
    half, single = (of(Phase.DECODE, estimate_footprints(configs, 2, vae_dtype_bytes=size)) for size in (0, 4))
    assert single.bytes_per_pixel == 2 * half.bytes_per_pixel


def test_known_models_are_estimated_as_their_live_tensors_were_counted() -> None:
    sd15 = {"block_out_channels": (320, 640, 1280, 1280), "down_block_types": ("CrossAttnDownBlock2D",) * 3}
    sdxl = {"block_out_channels": (320, 640, 1280), "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2)}
    assert of(Phase.DENOISE, estimate_footprints({"unet": sd15}, 2)).bytes_per_pixel == pytest.approx(260, rel=0.03)
    assert of(Phase.DENOISE, estimate_footprints({"unet": sdxl}, 2)).bytes_per_pixel == pytest.approx(159, rel=0.03)


def test_what_configs_do_not_tell_is_left_out() -> None:
    assert estimate_footprints({}, 2) == ()
    assert estimate_footprints({"unet": {}, "vae": {}, "transformer": {}, "text_encoder": {}}, 2) == ()


@pytest.mark.parametrize(("fixed", "per_pixel"), [(-1, 1.0), (1, -1.0), (1, float("nan")), (1, float("inf"))])
def test_a_footprint_is_finite_and_not_negative(fixed: int, per_pixel: float) -> None:
    with pytest.raises(ValueError, match="decode"):
        PhaseFootprint(Phase.DECODE, fixed, per_pixel, measured=False)
