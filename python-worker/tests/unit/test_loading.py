"""What is loaded, from which files, in which form."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import diffusers
import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from safelight_worker.pipelines.loading import LoadedModel, hash_weights, load
from safelight_worker.pipelines.model_files import read_model_files
from safelight_worker.pipelines.quantization import config_for, gguf_file
from safelight_worker.pipelines.weight_hashes import WeightHashes
from safelight_worker.types import FailureKind, ModelSpec, Quantization, WorkerError
from tests.support import ldm, tiny

CPU = torch.device("cpu")
NETWORKS = ("unet", "vae", "text_encoder")


@pytest.fixture
def folder(sd_folder: Path, tmp_path: Path) -> Path:
    """A model a test may change."""
    return shutil.copytree(sd_folder, tmp_path / "model")


@pytest.fixture(scope="module")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ldm.write_single_file(tiny.sd(), tmp_path_factory.mktemp("single") / "sd.safetensors")


def refused(spec: ModelSpec) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        load(spec, CPU)
    return caught.value


def same_weights(one: LoadedModel, other: LoadedModel) -> bool:
    return all(
        torch.equal(tensor, getattr(other.pipe, name).state_dict()[key])
        for name in NETWORKS
        for key, tensor in getattr(one.pipe, name).state_dict().items()
    )


def draw(model: LoadedModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    arguments = {"num_inference_steps": 2, "height": 64, "width": 64, "output_type": "pt"}
    with torch.inference_mode():
        return model.pipe("a red circle", generator=generator, **arguments).images


def make_variant(folder: Path, *components: str, keep_plain: bool = True) -> None:
    """Half-precision weights under names with the infix fp16, scaled so that they are told from the plain ones."""
    for component in components:
        (plain,) = (folder / component).glob("*.safetensors")
        halved = {name: (tensor * 2).half() for name, tensor in load_file(plain).items()}
        save_file(halved, plain.with_suffix(".fp16.safetensors"), metadata={"format": "pt"})
        if not keep_plain:
            plain.unlink()


def test_a_loaded_model_knows_its_bytes_and_cannot_be_trained(sd_folder: Path) -> None:
    model = load(ModelSpec("sd", str(sd_folder)), CPU)
    assert set(model.component_bytes) == set(NETWORKS)
    for name in NETWORKS:
        module = getattr(model.pipe, name)
        assert model.component_bytes[name] == 4 * sum(tensor.numel() for tensor in module.state_dict().values())
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())
    assert model.weights_bytes == sum(model.component_bytes.values())
    assert model.weights_sha256 == hash_weights(sd_folder)
    assert model.folder == sd_folder


def test_a_single_file_is_the_model_it_was_made_from(sd_folder: Path, single_file: Path) -> None:
    one = load(ModelSpec("folder", str(sd_folder)), CPU)
    other = load(ModelSpec("file", str(single_file), config=str(sd_folder)), CPU)
    assert same_weights(one, other)
    assert torch.equal(draw(one), draw(other))
    assert other.weights_sha256 != one.weights_sha256
    assert other.component_bytes == one.component_bytes


def test_a_single_file_needs_no_weights_beside_its_description(
    folder: Path, single_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    model = load(ModelSpec("file", str(single_file), "float16", config=str(folder)), CPU)
    assert model.dtype_name == "float16"
    assert {parameter.dtype for parameter in model.pipe.unet.parameters()} == {torch.float16}


def test_a_single_file_with_the_description_of_another_class_is_refused(sdxl_folder: Path, single_file: Path) -> None:
    error = refused(ModelSpec("file", str(single_file), config=str(sdxl_folder)))
    assert error.kind is FailureKind.MODEL_UNAVAILABLE
    assert "holds a StableDiffusion checkpoint" in error.message
    assert "describes StableDiffusionXLPipeline" in error.message


def test_a_single_file_of_a_class_that_has_no_such_form_is_refused(folder: Path, single_file: Path) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "DDPMPipeline"}))
    assert (
        "cannot be loaded from a single file"
        in refused(ModelSpec("file", str(single_file), config=str(folder))).message
    )


def test_a_single_file_that_lacks_tensors_is_refused(sd_folder: Path, single_file: Path, tmp_path: Path) -> None:
    tensors = load_file(single_file)
    del tensors["first_stage_model.decoder.conv_out.weight"]
    save_file(tensors, tmp_path / "holes.safetensors", metadata={"format": "pt"})
    error = refused(ModelSpec("file", str(tmp_path / "holes.safetensors"), config=str(sd_folder)))
    assert error.kind is FailureKind.MODEL_UNAVAILABLE
    assert "lacks tensors of StableDiffusionPipeline" in error.message


def test_a_damaged_single_file_is_refused(sd_folder: Path, single_file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(single_file.read_bytes()[:-100])
    error = refused(ModelSpec("file", str(tmp_path / "cut.safetensors"), config=str(sd_folder)))
    assert error.kind is FailureKind.MODEL_UNAVAILABLE
    assert "cannot be loaded" in error.message


def test_a_folder_is_loaded_as_the_class_it_was_saved_from(sd_folder: Path, tmp_path: Path) -> None:
    pipe = diffusers.StableDiffusionImg2ImgPipeline(**tiny.sd().components, requires_safety_checker=False)
    pipe.save_pretrained(tmp_path / "img2img")
    model = load(ModelSpec("img2img", str(tmp_path / "img2img")), CPU)
    assert model.pipeline_class == "StableDiffusionImg2ImgPipeline"
    assert same_weights(model, load(ModelSpec("sd", str(sd_folder)), CPU))


def test_a_cached_repository_is_loaded_by_its_id(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--owner--name" / "refs").mkdir(parents=True)
    (tmp_path / "models--owner--name" / "refs" / "main").write_text("0" * 40)
    snapshot = shutil.copytree(sd_folder, tmp_path / "models--owner--name" / "snapshots" / ("0" * 40))
    model = load(ModelSpec("far", "owner/name"), CPU)
    assert same_weights(model, load(ModelSpec("near", str(sd_folder)), CPU))
    assert (model.folder, model.weights_sha256) == (snapshot, hash_weights(sd_folder))
    assert "models pull owner/other" in refused(ModelSpec("far", "owner/other")).message


def test_a_variant_of_all_components_is_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = load(ModelSpec("sd", str(folder)), CPU)
    make_variant(folder, *NETWORKS, keep_plain=False)
    model = load(ModelSpec("sd", str(folder), variant="fp16"), CPU)
    for name in NETWORKS:
        ours, theirs = getattr(model.pipe, name).state_dict(), getattr(plain.pipe, name).state_dict()
        assert all(torch.allclose(ours[key], 2 * theirs[key], rtol=1e-2, atol=1e-4) for key in theirs)
    assert "variant is missing" not in caplog.text
    assert model.weights_sha256 != plain.weights_sha256


def test_a_variant_of_some_components_is_mixed_with_plain_files_and_the_log_names_which(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = load(ModelSpec("sd", str(folder)), CPU)
    make_variant(folder, "unet")
    model = load(ModelSpec("sd", str(folder), variant="fp16"), CPU)
    assert torch.allclose(model.pipe.unet.conv_in.weight, 2 * plain.pipe.unet.conv_in.weight, rtol=1e-2)
    assert torch.equal(model.pipe.vae.encoder.conv_in.weight, plain.pipe.vae.encoder.conv_in.weight)
    (record,) = [record for record in caplog.records if "variant is missing" in record.message]
    assert sorted(record.components) == ["text_encoder", "vae"]  # type: ignore[attr-defined]


def test_a_variant_of_no_component_means_plain_weights_and_the_log_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(ModelSpec("sd", str(folder), variant="fp16"), CPU)
    assert same_weights(model, load(ModelSpec("sd", str(folder)), CPU))
    assert "variant is missing" in caplog.text


def test_settled_hashes_are_read_from_the_cache_and_changed_files_are_hashed_anew(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    an_hour_ago = time.time() - 3600
    for path in folder.rglob("*.safetensors"):
        os.utime(path, (an_hour_ago, an_hour_ago))
    first = load(ModelSpec("sd", str(folder)), CPU, cache)
    entries = sorted((cache / "weight-hashes").iterdir())
    assert len(entries) == 3
    for entry in entries:
        entry.write_text("00" * 32)
    believed = load(ModelSpec("sd", str(folder)), CPU, cache)
    assert believed.weights_sha256 != first.weights_sha256
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    os.utime(weights, (an_hour_ago + 1, an_hour_ago + 1))
    for entry in entries:
        entry.write_text("damaged")
    assert load(ModelSpec("sd", str(folder)), CPU, cache).weights_sha256 == first.weights_sha256 == hash_weights(folder)
    assert len(list((cache / "weight-hashes").iterdir())) == 4


def test_a_hash_is_not_kept_of_a_file_that_was_just_written(tmp_path: Path) -> None:
    (tmp_path / "new.safetensors").write_bytes(b"one")
    hashes = WeightHashes(tmp_path / "cache")
    one = hashes.of([("new", tmp_path / "new.safetensors")])
    assert not (tmp_path / "cache").exists()
    before = (tmp_path / "new.safetensors").stat()
    (tmp_path / "new.safetensors").write_bytes(b"two")
    os.utime(tmp_path / "new.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hashes.of([("new", tmp_path / "new.safetensors")]) != one


def test_a_cache_that_cannot_be_written_costs_time_only(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in folder.rglob("*.safetensors"):
        os.utime(path, (1e9, 1e9))
    model = load(ModelSpec("sd", str(folder)), CPU, tmp_path / "file")
    assert model.weights_sha256 == hash_weights(folder)


def test_channels_last_is_a_layout_and_the_same_picture(sd_folder: Path) -> None:
    plain = load(ModelSpec("sd", str(sd_folder)), CPU)
    model = load(ModelSpec("sd", str(sd_folder), channels_last=True), CPU)
    for module in (model.pipe.unet, model.pipe.vae):
        kernels = [p for p in module.parameters() if p.dim() == 4 and p.shape[2] > 1 and p.shape[1] > 1]
        assert kernels
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    assert torch.allclose(draw(model), draw(plain), atol=1e-4)


def test_fused_projections_draw_the_same_picture(sd_folder: Path) -> None:
    plain = load(ModelSpec("sd", str(sd_folder)), CPU)
    model = load(ModelSpec("sd", str(sd_folder), fuse_projections=True), CPU)
    assert any(name.endswith("to_qkv") for name, _ in model.pipe.unet.named_modules())
    assert torch.allclose(draw(model), draw(plain), atol=1e-4)


def test_the_repeated_blocks_of_the_denoiser_are_compiled(sd_folder: Path) -> None:
    model = load(ModelSpec("sd", str(sd_folder), compile=True), CPU)
    blocks = [m for m in model.pipe.unet.modules() if type(m).__name__ in model.pipe.unet._repeated_blocks]
    assert blocks
    assert all(block._compiled_call_impl is not None for block in blocks)
    assert model.pipe.unet._compiled_call_impl is None


@pytest.mark.parametrize(
    ("quantization", "field"),
    [
        (Quantization("awq"), "quantization.backend"),
        (Quantization("gguf"), "quantization.options.file"),
    ],
)
def test_what_quantization_cannot_follow_is_refused_by_its_field(
    sd_folder: Path, quantization: Quantization, field: str
) -> None:
    if quantization.backend == "gguf":
        pytest.importorskip("gguf")
    error = refused(ModelSpec("sd", str(sd_folder), quantization=quantization))
    assert (error.kind, error.field) == (FailureKind.INVALID_REQUEST, field)
    assert field in error.message


@pytest.mark.parametrize(
    ("backend", "package", "module"),
    [
        ("bitsandbytes_4bit", "bitsandbytes", "bitsandbytes"),
        ("bitsandbytes_8bit", "bitsandbytes", "bitsandbytes"),
        ("torchao", "torchao", "torchao"),
        ("quanto", "optimum-quanto", "optimum"),
        ("gguf", "gguf", "gguf"),
    ],
)
def test_a_backend_whose_package_is_missing_names_it_and_how_to_install_it(
    sd_folder: Path, backend: str, package: str, module: str
) -> None:
    # What is said of a missing package shows only where it is missing; set-up installs none of them.
    if any((Path(entry) / module).is_dir() for entry in sys.path):
        pytest.skip(f"{package} is installed here")
    error = refused(ModelSpec("sd", str(sd_folder), quantization=Quantization(backend)))
    assert error.kind is FailureKind.MODEL_UNAVAILABLE
    assert f"`pip install {package}`" in error.message


def test_quantization_of_a_single_file_is_refused(sd_folder: Path, single_file: Path) -> None:
    pytest.importorskip("torchao")
    quantization = Quantization("torchao", {"quant_type": "Int8WeightOnlyConfig"})
    error = refused(ModelSpec("sd", str(single_file), config=str(sd_folder), quantization=quantization))
    assert (error.kind, error.field) == (FailureKind.INVALID_REQUEST, "quantization")


def test_torchao_puts_the_denoiser_into_fewer_bits_and_draws_nearly_the_same(sd_folder: Path) -> None:
    pytest.importorskip("torchao")
    quantization = Quantization("torchao", {"quant_type": "Int8WeightOnlyConfig"})
    plain = load(ModelSpec("sd", str(sd_folder)), CPU)
    model = load(ModelSpec("sd", str(sd_folder), quantization=quantization), CPU)
    kinds = {type(p).__name__ for p in model.pipe.unet.parameters()}
    assert any("Int8" in kind for kind in kinds)
    assert {type(p).__name__ for p in model.pipe.text_encoder.parameters()} == {"Parameter"}
    assert (draw(model) - draw(plain)).abs().mean() < 0.05


@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_quanto_puts_the_components_that_are_named_into_fewer_bits(sd_folder: Path, component: str) -> None:
    pytest.importorskip("optimum.quanto")
    quantization = Quantization("quanto", {"weights_dtype": "int8"}, (component,))
    plain = load(ModelSpec("sd", str(sd_folder)), CPU)
    model = load(ModelSpec("sd", str(sd_folder), quantization=quantization), CPU)
    quantized = {
        name
        for name in NETWORKS
        if any(type(module).__name__ == "QLinear" for module in getattr(model.pipe, name).modules())
    }
    assert quantized == {component}
    assert model.component_bytes[component] < plain.component_bytes[component]
    assert (draw(model) - draw(plain)).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("quantization", "field"),
    [
        (Quantization("torchao"), "quantization.options.quant_type"),
        (Quantization("torchao", {"quant_type": "NoConfig"}), "quantization.options.quant_type"),
        (Quantization("torchao", {"quant_type": "Int8WeightOnlyConfig", "grp": 3}), "quantization.options.grp"),
        (Quantization("torchao", {"quant_type": "Int8WeightOnlyConfig"}, ("tokenizer",)), "quantization.components"),
    ],
)
def test_options_torchao_does_not_have_are_refused(sd_folder: Path, quantization: Quantization, field: str) -> None:
    pytest.importorskip("torchao")
    with pytest.raises(WorkerError) as caught:
        config_for(quantization, read_model_files(sd_folder), torch.float32)
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, field)


def test_a_gguf_file_replaces_one_component(sd_folder: Path, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    folder = shutil.copytree(sd_folder, tmp_path / "model")
    files = read_model_files(folder)
    with pytest.raises(WorkerError) as caught:
        gguf_file(Quantization("gguf", {"file": "unet.gguf"}), files)
    assert caught.value.kind is FailureKind.MODEL_UNAVAILABLE
    writer = gguf.GGUFWriter(folder / "unet.gguf", "sd1")
    checkpoint = load_file(ldm.write_single_file(tiny.sd(), tmp_path / "sd.safetensors"))
    for name, tensor in checkpoint.items():
        if name.startswith("model.diffusion_model."):
            writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    model = load(ModelSpec("sd", str(folder), quantization=Quantization("gguf", {"file": "unet.gguf"})), CPU)
    assert torch.allclose(draw(model), draw(load(ModelSpec("sd", str(sd_folder)), CPU)), atol=1e-5)
