"""Which weights a name stands for, in which form, and what a model's own safety checker may do."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from safelight_worker.pipelines.loading import hash_weights, load
from safelight_worker.types import FailureKind, ModelSpec, Phase, WorkerError
from tests.support import tiny
from tests.support.engines import CPU, Workbench, reference, same
from tests.support.gates import held


def other_weights(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    file = target / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor * 1.01 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    return target


def test_a_name_that_means_another_folder_now_serves_the_other(
    fresh_bench: Workbench, sd_folder: Path, tmp_path: Path
) -> None:
    other = other_weights(sd_folder, tmp_path / "other")
    one, two = fresh_bench.load(sd_folder, "shapes"), fresh_bench.load(other, "shapes")
    assert one.model.weights_sha256 != two.model.weights_sha256
    assert fresh_bench.engine.model_ids == ["shapes"]
    plan = fresh_bench.plan(other, model=ModelSpec("shapes", other))
    result = fresh_bench.submit(plan).succeeded()
    assert result.effective.weights_sha256 == two.model.weights_sha256
    assert same(fresh_bench.pictures[plan.attempt_id][0], reference(two.model.pipe, plan))
    assert not same(fresh_bench.pictures[plan.attempt_id][0], reference(one.model.pipe, plan))


def test_loading_again_answers_with_what_is_there(fresh_bench: Workbench, sd_folder: Path) -> None:
    assert fresh_bench.load(sd_folder) is fresh_bench.load(sd_folder)


def test_a_load_that_nobody_waits_for_any_more_harms_nobody(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with held(runner, "tick") as gate:
        watcher = fresh_bench.submit(fresh_bench.plan(sd_folder))
        gate.wait_reached()
        assert fresh_bench.engine.load(ModelSpec("other", sd_folder)).cancel()
        gate.open()
        watcher.succeeded()
    fresh_bench.load(sd_folder)
    assert fresh_bench.engine.model_ids == ["sd"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_draws_on_the_cpu_too(fresh_bench: Workbench, sd_folder: Path, dtype: str) -> None:
    plan = fresh_bench.plan(sd_folder, model=ModelSpec("half", sd_folder, dtype), num_inference_steps=2)
    watcher = fresh_bench.submit(plan)
    result = watcher.succeeded()
    assert result.effective.dtype == dtype
    pipe = fresh_bench.models.get(plan.model).model.pipe
    assert {p.dtype for p in pipe.unet.parameters()} == {getattr(torch, dtype)}


def test_the_cpu_computes_in_single_precision_unless_told(sd_folder: Path) -> None:
    assert load(ModelSpec("sd", sd_folder), CPU).dtype_name == "float32"


def test_an_unknown_dtype_is_refused(sd_folder: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        load(ModelSpec("sd", sd_folder, "float8"), CPU)
    assert caught.value.kind is FailureKind.INVALID_REQUEST


def test_a_missing_variant_falls_back_to_plain_names_and_says_so(
    sd_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(ModelSpec("sd", sd_folder, variant="fp16"), CPU)
    assert "variant is missing" in caplog.text


def test_the_hash_is_of_names_and_contents(sd_folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(sd_folder, tmp_path / "copy")
    assert hash_weights(copied) == hash_weights(sd_folder)
    digest = hashlib.sha256()
    for path in sorted(sd_folder.rglob("*.safetensors")):
        digest.update(str(path.relative_to(sd_folder)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    assert hash_weights(sd_folder) == digest.hexdigest()
    (copied / "vae" / "diffusion_pytorch_model.safetensors").rename(copied / "vae" / "moved.safetensors")
    assert hash_weights(copied) != hash_weights(sd_folder)


def with_safety_checker(folder: Path, rejects: bool) -> Path:
    """The tiny model with a real checker that rejects everything or nothing."""
    pipe = tiny.sd()
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(vision_config={**vision, "image_size": 32, "patch_size": 16}, projection_dim=8)
    checker = StableDiffusionSafetyChecker(config).eval()
    checker.concept_embeds_weights.data.fill_(-2.0 if rejects else 2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    pipe.register_modules(
        safety_checker=checker,
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    )
    pipe.save_pretrained(folder)
    return folder


def test_what_a_models_safety_checker_rejects_is_a_rejected_output(fresh_bench: Workbench, tmp_path: Path) -> None:
    folder = with_safety_checker(tmp_path / "strict", rejects=True)
    plan = fresh_bench.plan(folder)
    failed = fresh_bench.submit(plan).failed()
    assert (failed.kind, failed.phase) == (FailureKind.REJECTED_OUTPUT, Phase.DECODE)
    assert "safety checker" in failed.message
    assert list(plan.staging_dir.iterdir()) == []


def test_what_it_passes_is_drawn_as_pipe_draws_it(fresh_bench: Workbench, tmp_path: Path) -> None:
    folder = with_safety_checker(tmp_path / "lenient", rejects=False)
    plan = fresh_bench.plan(folder)
    (picture,) = fresh_bench.run(plan)
    assert same(picture, reference(fresh_bench.load(folder).model.pipe, plan))
