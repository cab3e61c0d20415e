"""Which weights a name stands for, in which form, and what a model's own safety checker may do."""

from __future__ import annotations

import hashlib
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from safelight_worker.engine.models import ModelStore
from safelight_worker.memory.fault_injection import FaultInjector
from safelight_worker.pipelines.loading import hash_weights, load
from safelight_worker.runners.loaded import LoadedRunner, load_runner
from safelight_worker.types import FailureKind, ModelSpec, Phase, WorkerError
from tests.support import tiny
from tests.support.engines import CPU, PATIENCE, Workbench, reference, same
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
    plan = fresh_bench.plan(other, model=ModelSpec("shapes", str(other)))
    result = fresh_bench.submit(plan).succeeded()
    assert result.effective.weights_sha256 == two.model.weights_sha256
    assert same(fresh_bench.pictures[plan.attempt_id][0], reference(two.model.pipe, plan))
    assert not same(fresh_bench.pictures[plan.attempt_id][0], reference(one.model.pipe, plan))


def test_loading_again_answers_with_what_is_there(fresh_bench: Workbench, sd_folder: Path) -> None:
    assert fresh_bench.load(sd_folder) is fresh_bench.load(sd_folder)


def test_a_model_that_is_only_asked_for_is_not_loaded(fresh_bench: Workbench, sd_folder: Path) -> None:
    asked = fresh_bench.engine.load(ModelSpec("sd", str(sd_folder)), only_if_loaded=True)
    with pytest.raises(WorkerError) as caught:
        asked.result(PATIENCE)
    assert caught.value.kind is FailureKind.MODEL_UNAVAILABLE
    assert fresh_bench.engine.model_ids == []
    loaded = fresh_bench.engine.load(ModelSpec("sd", str(sd_folder))).result(PATIENCE)
    assert fresh_bench.engine.load(ModelSpec("sd", str(sd_folder)), only_if_loaded=True).result(PATIENCE) is loaded


def test_a_load_that_nobody_waits_for_any_more_harms_nobody(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with held(runner, "tick") as gate:
        watcher = fresh_bench.submit(fresh_bench.plan(sd_folder))
        gate.wait_reached()
        assert fresh_bench.engine.load(ModelSpec("other", str(sd_folder))).cancel()
        gate.open()
        watcher.succeeded()
    fresh_bench.load(sd_folder)
    assert fresh_bench.engine.model_ids == ["sd"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_draws_on_the_cpu_too(fresh_bench: Workbench, sd_folder: Path, dtype: str) -> None:
    plan = fresh_bench.plan(sd_folder, model=ModelSpec("half", str(sd_folder), dtype), num_inference_steps=2)
    watcher = fresh_bench.submit(plan)
    result = watcher.succeeded()
    assert result.effective.dtype == dtype
    pipe = fresh_bench.models.get(plan.model).model.pipe
    assert {p.dtype for p in pipe.unet.parameters()} == {getattr(torch, dtype)}


def test_the_cpu_computes_in_single_precision_unless_told(sd_folder: Path) -> None:
    assert load(ModelSpec("sd", str(sd_folder)), CPU).dtype_name == "float32"


def test_an_unknown_dtype_is_refused(sd_folder: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        load(ModelSpec("sd", str(sd_folder), "float8"), CPU)
    assert caught.value.kind is FailureKind.INVALID_REQUEST


def test_a_missing_variant_falls_back_to_plain_names_and_says_so(
    sd_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(ModelSpec("sd", str(sd_folder), variant="fp16"), CPU)
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


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture(scope="module")
def model_bytes(sd_folder: Path) -> int:
    """Weights of one tiny model on the CPU."""
    return load(ModelSpec("sd", str(sd_folder)), CPU).weights_bytes


def shelf(caps_folder: Path, model_bytes: int, room: float = 2.5, clock: Clock | None = None) -> ModelStore:
    """A store with room for a number of tiny models."""
    budget = int(model_bytes * room)
    return ModelStore(CPU, caps_folder, budget_bytes=budget, weigh=lambda spec, *_: model_bytes, clock=clock or Clock())


def of(folder: Path, *names: str) -> list[ModelSpec]:
    return [ModelSpec(name, str(folder)) for name in names]


def test_the_least_recently_used_model_makes_room_and_its_weights_are_freed(
    sd_folder: Path, caps_folder: Path, model_bytes: int
) -> None:
    store = shelf(caps_folder, model_bytes)
    a, b, c = of(sd_folder, "a", "b", "c")
    store.get(a)
    watched = weakref.ref(store.get(b).model.pipe.unet)
    store.get(a)
    assert store.ids == ["b", "a"]
    store.get(c)
    assert store.ids == ["a", "c"]
    assert not store.holds(b)
    assert watched() is None
    assert store.held_bytes == 2 * model_bytes


def test_letting_go_of_a_model_counts_as_use(sd_folder: Path, caps_folder: Path, model_bytes: int) -> None:
    store = shelf(caps_folder, model_bytes)
    a, b, c = of(sd_folder, "a", "b", "c")
    store.get(a)
    store.get(b)
    store.release(a)
    store.get(c)
    assert store.ids == ["a", "c"]


def test_without_a_budget_all_stay(sd_folder: Path, caps_folder: Path, model_bytes: int) -> None:
    store = ModelStore(CPU, caps_folder)
    for spec in of(sd_folder, "a", "b", "c"):
        store.get(spec)
    assert store.ids == ["a", "b", "c"]


def test_the_files_of_a_model_tell_its_weight_before_it_is_loaded(
    sd_folder: Path, caps_folder: Path, model_bytes: int
) -> None:
    store = ModelStore(CPU, caps_folder, budget_bytes=int(model_bytes * 2.5))
    for spec in of(sd_folder, "a", "b", "c"):
        store.get(spec)
    assert store.ids == ["b", "c"]


def test_a_pinned_model_stays_until_it_is_unpinned(sd_folder: Path, caps_folder: Path, model_bytes: int) -> None:
    store = shelf(caps_folder, model_bytes)
    a, b, c, d = of(sd_folder, "a", "b", "c", "d")
    store.get(a)
    store.pin("a")
    store.get(b)
    store.get(c)
    assert store.ids == ["a", "c"]
    store.pin("a", pinned=False)
    store.get(d)
    assert store.ids == ["c", "d"]


def test_a_model_in_use_stays(sd_folder: Path, caps_folder: Path, model_bytes: int) -> None:
    store = shelf(caps_folder, model_bytes)
    a, b, c = of(sd_folder, "a", "b", "c")
    store.get(a)
    store.get(b)
    store.get(c, lambda: {a, c})
    assert store.ids == ["a", "c"]


def test_when_too_little_can_leave_nothing_does_and_the_numbers_are_told(
    sd_folder: Path, caps_folder: Path, model_bytes: int
) -> None:
    store = ModelStore(
        CPU,
        caps_folder,
        budget_bytes=4 * model_bytes,
        weigh=lambda spec, *_: model_bytes * (3 if spec.id == "large" else 1),
    )
    a, b, c, large = of(sd_folder, "a", "b", "c", "large")
    for spec in (a, b, c):
        store.get(spec)
    store.pin("b")
    with pytest.raises(WorkerError) as caught:
        store.get(large, lambda: {a, large})
    assert (caught.value.kind, caught.value.field) == (FailureKind.DEVICE_OUT_OF_MEMORY, "model")
    one, three, four = (f"{count * model_bytes / (1 << 20):.1f} MiB" for count in (1, 3, 4))
    assert f"model large needs {three}" in caught.value.message
    assert f"budget of all models is {four}" in caught.value.message
    assert f"a holds {one} (in use), b holds {one} (pinned), c holds {one} (idle)" in caught.value.message
    assert store.ids == ["a", "b", "c"]


def test_a_small_model_is_spared_when_a_large_one_has_to_leave_anyway(
    sd_folder: Path, sdxl_folder: Path, caps_folder: Path, model_bytes: int
) -> None:
    large_bytes = load(ModelSpec("xl", str(sdxl_folder)), CPU).weights_bytes
    assert large_bytes > model_bytes
    store = ModelStore(CPU, caps_folder, budget_bytes=model_bytes + large_bytes, weigh=lambda spec, *_: large_bytes)
    small, large = of(sd_folder, "small")[0], of(sdxl_folder, "large")[0]
    store.get(small)
    store.get(large)
    store.get(ModelSpec("other", str(sdxl_folder)))
    assert store.ids == ["small", "other"]


def test_an_idle_model_leaves_after_its_keep_alive_and_not_before(
    sd_folder: Path, caps_folder: Path, model_bytes: int
) -> None:
    clock = Clock()
    store = shelf(caps_folder, model_bytes, clock=clock)
    a, b = of(sd_folder, "a", "b")
    watched = weakref.ref(store.get(a).model.pipe.unet)
    store.get(b)
    store.keep_alive("a", 30)
    clock.now += 29
    store.expire()
    assert store.ids == ["a", "b"]
    clock.now += 2
    store.expire(lambda: {a})
    clock.now += 29
    store.expire()
    assert store.ids == ["a", "b"]
    clock.now += 2
    store.expire()
    assert store.ids == ["b"]
    assert watched() is None
    clock.now += 1e9
    store.expire()
    assert store.ids == ["b"]


def test_a_keep_alive_spares_a_pinned_model_and_can_be_taken_back(
    sd_folder: Path, caps_folder: Path, model_bytes: int
) -> None:
    clock = Clock()
    store = shelf(caps_folder, model_bytes, clock=clock)
    for spec in of(sd_folder, "a", "b"):
        store.get(spec)
        store.keep_alive(spec.id, 5)
    store.pin("a")
    store.keep_alive("b", 0)
    clock.now += 60
    store.expire()
    assert store.ids == ["a", "b"]
    store.pin("a", pinned=False)
    store.expire()
    assert store.ids == ["b"]


def test_unloading_is_refused_while_in_use_and_frees_afterwards(
    sd_folder: Path, caps_folder: Path, model_bytes: int
) -> None:
    store = shelf(caps_folder, model_bytes)
    (a,) = of(sd_folder, "a")
    watched = weakref.ref(store.get(a).model.pipe.unet)
    store.pin("a")
    with pytest.raises(WorkerError, match="in use") as caught:
        store.unload("a", lambda: {a})
    assert caught.value.kind is FailureKind.INVALID_REQUEST
    assert store.ids == ["a"]
    assert store.unload("a")
    assert watched() is None
    assert store.ids == []
    assert not store.unload("a")


def test_weights_whose_name_was_taken_count_until_their_attempts_end(
    sd_folder: Path, caps_folder: Path, model_bytes: int, tmp_path: Path
) -> None:
    store = shelf(caps_folder, model_bytes)
    (old,), (new,) = of(sd_folder, "a"), of(other_weights(sd_folder, tmp_path / "other"), "a")
    watched = weakref.ref(store.get(old).model.pipe.unet)
    store.pin("a")
    store.get(new, lambda: {old, new})
    assert (store.ids, store.holds(old), store.holds(new)) == (["a"], False, True)
    assert store.held_bytes == 2 * model_bytes
    store.expire(lambda: {old})
    assert watched() is not None
    store.expire(lambda: {new})
    assert watched() is None
    assert store.held_bytes == model_bytes


def limited(folder: Path, target: Path, share: float) -> ModelSpec:
    """A model whose files are there but of which only a share of the bytes is."""
    copied = shutil.copytree(folder, target)
    file = copied / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    return ModelSpec("damaged", str(copied))


def test_a_load_that_fails_for_another_reason_than_memory_costs_no_other_its_place(
    sd_folder: Path, caps_folder: Path, model_bytes: int, tmp_path: Path
) -> None:
    store = shelf(caps_folder, model_bytes)
    (a,) = of(sd_folder, "a")
    store.get(a)
    with pytest.raises(WorkerError) as caught:
        store.get(limited(sd_folder, tmp_path / "damaged", 0.5))
    assert caught.value.kind is FailureKind.MODEL_UNAVAILABLE
    assert store.ids == ["a"]


@pytest.mark.parametrize(("idle", "succeeds"), [(("a", "b"), True), ((), False)])
def test_a_load_without_room_on_the_device_evicts_one_and_tries_once_more(
    sd_folder: Path,
    caps_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    idle: tuple[str, ...],
    succeeds: bool,
) -> None:
    store = ModelStore(CPU, caps_folder)
    a, b, c = of(sd_folder, "a", "b", "c")
    store.get(a)
    store.get(b)
    faults = FaultInjector.parse("oom@load")

    def load_under_pressure(*arguments: Any) -> LoadedRunner:
        faults.at(Phase.LOAD, 0, 0)
        return load_runner(*arguments)

    monkeypatch.setattr("safelight_worker.engine.models.load_runner", load_under_pressure)
    using = {each for each in (a, b) if each.id not in idle}
    if succeeds:
        store.get(c, lambda: using)
        assert store.ids == ["b", "c"]
    else:
        with pytest.raises(torch.OutOfMemoryError):
            store.get(c, lambda: using)
        assert store.ids == ["a", "b"]
