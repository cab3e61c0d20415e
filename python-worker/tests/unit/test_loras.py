"""LoRAs come and go by request: the picture is the one diffusers draws with them, and nobody else's picture knows of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from safelight_worker.pipelines.loras import KEPT, Loras
from safelight_worker.runners.exclusive import ExclusiveRunner
from safelight_worker.types import FailureKind, LoraUse, MemoryPlan, Plan, Residency, WorkerError
from tests.support import tiny, tiny_other
from tests.support.engines import Workbench, reference, same
from tests.support.exactness import TOLERANCE
from tests.support.gates import held
from tests.support.tiny_controls import write_lora

FAMILIES = ("sd", "sdxl", "sd3", "flux")
PHASE, GROUP = Residency.PHASE, Residency.GROUP_OFFLOAD
DENOISER = {"sd": "unet", "sdxl": "unet", "sd3": "transformer", "flux": "transformer"}


@pytest.fixture(scope="session")
def lora_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """By family: two for the denoiser, then one for it and the first text encoder."""
    folder = tmp_path_factory.mktemp("loras")
    files: dict[str, list[Path]] = {}
    for family in FAMILIES:
        pipe, denoiser = tiny.BUILDERS[family](), DENOISER[family]
        files[family] = [
            write_lora(pipe, folder / family / "one.safetensors", 1, (denoiser,)),
            write_lora(pipe, folder / family / "two.safetensors", 2, (denoiser,), rank=4),
            write_lora(pipe, folder / family / "text.safetensors", 3, (denoiser, "text_encoder")),
        ]
    return files


def use(path: Path, weight: float = 1.0) -> LoraUse:
    return LoraUse(path.stem, path, weight)


def diffusers_own(folder: Path, plan: Plan, uses: Sequence[LoraUse]) -> Any:
    """What a pipeline of its own draws with them."""
    pipe: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    for number, each in enumerate(uses):
        pipe.load_lora_weights(each.source.parent, weight_name=each.source.name, adapter_name=str(number))
    pipe.set_adapters([str(number) for number in range(len(uses))], [each.weight for each in uses])
    with torch.no_grad():
        return reference(pipe, plan)


def adapters_in(pipe: Any) -> set[str]:
    """Names of the adapters that any layer carries."""
    parts = [each for each in pipe.components.values() if isinstance(each, torch.nn.Module)]
    layers: list[Any] = [layer for part in parts for layer in part.modules() if hasattr(layer, "lora_A")]
    return {name for layer in layers for name in layer.lora_A} | {
        name for part in parts for name in getattr(part, "peft_config", {})
    }


# -------------------------------------------------------------------- the picture


@pytest.mark.parametrize("wish", ["half", "two", "text"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_picture_is_the_one_diffusers_draws_with_them(
    bench: Workbench, folders: dict[str, Path], lora_files: dict[str, list[Path]], family: str, wish: str
) -> None:
    one, two, text = lora_files[family]
    uses = {
        "half": (use(one, 0.5),),
        "two": (use(one, 0.8), use(two, -0.4)),
        "text": (use(text, 0.7), use(two, 0.6)),
    }[wish]
    plan = bench.plan(folders[family], loras=uses)
    (picture,) = bench.run(plan)
    assert same(picture, diffusers_own(folders[family], plan, uses))
    (plain,) = bench.run(bench.plan(folders[family]))
    assert np.abs(picture - plain).max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_after_loras_a_plain_picture_is_the_one_from_before_them(
    fresh_bench: Workbench, folders: dict[str, Path], lora_files: dict[str, list[Path]], family: str
) -> None:
    bench, folder = fresh_bench, folders[family]
    prompts = ("a red circle", "a blue circle")
    before = [bench.run(bench.plan(folder, prompt=prompt))[0] for prompt in prompts]
    bench.run(bench.plan(folder, loras=tuple(use(path) for path in lora_files[family])))
    bench.load(folder).runner._prompts.clear()
    after = [bench.run(bench.plan(folder, prompt=prompt))[0] for prompt in prompts]
    assert all(same(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_loras_in_other_weights_are_other_pictures(
    bench: Workbench, folders: dict[str, Path], lora_files: dict[str, list[Path]], family: str
) -> None:
    text = lora_files[family][2]
    pictures = [bench.run(bench.plan(folders[family], loras=(use(text, weight),)))[0] for weight in (0.5, 1.0, 0.5)]
    assert same(pictures[0], pictures[2])
    assert not same(pictures[0], pictures[1])


# -------------------------------------------------------------------- company


@pytest.mark.parametrize("solo", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_requests_with_and_without_them_do_not_touch_each_other(
    bench: Workbench, folders: dict[str, Path], lora_files: dict[str, list[Path]], family: str, solo: bool
) -> None:
    folder, (one, two, text) = folders[family], lora_files[family]
    sets: list[tuple[LoraUse, ...]] = [(), (use(one),), (use(text),), (use(one, 0.5),), (use(one), use(two)), ()]
    wishes: list[dict[str, Any]] = [
        {"loras": uses, "seeds": (seed,), "num_inference_steps": 3 + seed % 3} for seed, uses in enumerate(sets)
    ]
    alone = [bench.run(bench.plan(folder, **wish))[0] for wish in wishes]
    together = bench.run_together([bench.plan(folder, **wish, solo=solo) for wish in wishes])
    for one_alone, in_company in zip(alone, together, strict=True):
        assert in_company.shape == one_alone.shape
        if solo:
            assert same(in_company, one_alone)
        assert np.abs(in_company - one_alone).max() <= TOLERANCE


def test_those_of_different_loras_share_no_forward(
    bench: Workbench, sd_folder: Path, lora_files: dict[str, list[Path]]
) -> None:
    one, two, _ = lora_files["sd"]
    runner = bench.load(sd_folder).runner
    with held(runner, "tick") as gate:
        sets = [(use(one),), (use(two),), (use(one, 0.5),), (), (use(one),)]
        watchers = [bench.submit(bench.plan(sd_folder, loras=uses)) for uses in sets[:1]]
        gate.wait_reached()
        watchers += [bench.submit(bench.plan(sd_folder, loras=uses)) for uses in sets[1:]]
        gate.open()
        batches = [watcher.succeeded().effective.max_batch_images for watcher in watchers]
    assert batches == [2, 1, 1, 1, 2]


# -------------------------------------------------------------------- memory


@pytest.mark.parametrize("residency", [PHASE, GROUP])
@pytest.mark.parametrize("family", FAMILIES)
def test_they_go_where_their_layers_go(
    fresh_bench: Workbench,
    folders: dict[str, Path],
    lora_files: dict[str, list[Path]],
    family: str,
    residency: Residency,
) -> None:
    bench, folder, (one, two, text) = fresh_bench, folders[family], lora_files[family]
    parts = {n for n, each in bench.load(folder).model.pipe.components.items() if isinstance(each, torch.nn.Module)}
    names = parts if residency is Residency.PHASE else {DENOISER[family]}
    sparing = MemoryPlan(residency=dict.fromkeys(names, residency))
    (plain,) = bench.run(bench.plan(folder, memory=sparing))
    wishes = [(use(one),), (use(text, 0.5), use(two)), (use(one),)]
    spared = [bench.run(bench.plan(folder, loras=uses, memory=sparing))[0] for uses in wishes]
    (plain_again,) = bench.run(bench.plan(folder, memory=sparing))
    resident = [bench.run(bench.plan(folder, loras=uses))[0] for uses in wishes]
    assert same(plain, plain_again)
    assert all(same(one, other) for one, other in zip(spared, resident, strict=True))
    for uses, picture in zip(wishes, resident, strict=True):
        assert same(picture, diffusers_own(folder, bench.plan(folder), uses))


@pytest.mark.parametrize("residency", list(Residency))
def test_beyond_the_limit_the_least_recently_used_leave_and_come_back(
    fresh_bench: Workbench, sd_folder: Path, tmp_path: Path, residency: Residency
) -> None:
    bench, pipe, kept = fresh_bench, tiny.sd(), 2
    memory = MemoryPlan(residency={"unet": residency, "text_encoder": residency})
    paths = [write_lora(pipe, tmp_path / f"{n}.safetensors", n, ("unet", "text_encoder"), rank=1) for n in range(4)]
    bench.load(sd_folder).runner._loras._kept = kept
    (plain,) = bench.run(bench.plan(sd_folder))
    first = [bench.run(bench.plan(sd_folder, loras=(use(path),), memory=memory))[0] for path in paths]
    assert len(adapters_in(bench.load(sd_folder).model.pipe)) == kept
    # Those that left come back, in a forward each, while others are there.
    again = bench.run_together([bench.plan(sd_folder, loras=(use(path),), memory=memory) for path in paths])
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    assert len(adapters_in(bench.load(sd_folder).model.pipe)) == kept
    bench.load(sd_folder).runner._prompts.clear()
    (plain_again,) = bench.run(bench.plan(sd_folder))
    assert same(plain, plain_again)


def test_one_request_may_name_more_than_are_kept(fresh_bench: Workbench, sd_folder: Path, tmp_path: Path) -> None:
    pipe = tiny.sd()
    paths = [write_lora(pipe, tmp_path / f"{n}.safetensors", n, rank=1) for n in range(KEPT + 2)]
    uses = tuple(use(path, 0.1) for path in paths)
    plan = fresh_bench.plan(sd_folder, loras=uses)
    (picture,) = fresh_bench.run(plan)
    assert same(picture, diffusers_own(sd_folder, plan, uses))


def test_one_named_twice_counts_with_the_sum_of_its_weights(
    bench: Workbench, sd_folder: Path, lora_files: dict[str, list[Path]]
) -> None:
    one, *_ = lora_files["sd"]
    (twice,) = bench.run(bench.plan(sd_folder, loras=(use(one, 0.25), use(one, 0.5))))
    (once,) = bench.run(bench.plan(sd_folder, loras=(use(one, 0.75),)))
    assert same(twice, once)


# -------------------------------------------------------------------- what is refused


def rename(path: Path, target: Path, before: str, after: str) -> Path:
    save_file({name.replace(before, after): t for name, t in load_file(path).items()}, target, {"format": "pt"})
    return target


@pytest.mark.parametrize("fault", ["missing", "damaged", "empty", "no layer", "no part", "other shapes", "not a lora"])
@pytest.mark.parametrize(("family", "residency"), [("sd", Residency.RESIDENT), ("sdxl", PHASE), ("flux", GROUP)])
def test_what_cannot_be_applied_is_refused_by_name_and_leaves_nothing_behind(
    fresh_bench: Workbench,
    folders: dict[str, Path],
    lora_files: dict[str, list[Path]],
    tmp_path: Path,
    family: str,
    fault: str,
    residency: Residency,
) -> None:
    bench, folder, (one, _, text) = fresh_bench, folders[family], lora_files[family]
    wrong = tmp_path / "wrong.safetensors"
    if fault == "damaged":
        wrong.write_bytes(text.read_bytes()[:-100])
    elif fault == "empty":
        save_file({}, wrong)
    elif fault == "no layer":
        rename(one, wrong, "attn", "nothing")
    elif fault == "no part":
        rename(one, wrong, f"{DENOISER[family]}.", "nobody.")
    elif fault == "other shapes":
        save_file({n: torch.cat([t, t], dim=-1 if "lora_A" in n else 0) for n, t in load_file(text).items()}, wrong)
    elif fault == "not a lora":
        save_file({f"{DENOISER[family]}.weight": torch.zeros(2, 2)}, wrong)
    memory = MemoryPlan(residency={DENOISER[family]: residency})
    (plain,) = bench.run(bench.plan(folder, memory=memory))
    (with_one,) = bench.run(bench.plan(folder, loras=(use(one),), memory=memory))
    pipe = bench.load(folder).model.pipe
    before = adapters_in(pipe)
    assert len(before) == 1
    for uses in ((use(wrong),), (use(one, 0.5), use(wrong))):
        failed = bench.submit(bench.plan(folder, loras=uses, memory=memory)).failed()
        expected = FailureKind.MODEL_UNAVAILABLE if fault in ("missing", "damaged") else FailureKind.INVALID_REQUEST
        assert (failed.kind, failed.field) == (expected, "loras"), failed.message
        assert "wrong" in failed.message
        assert adapters_in(pipe) == before
    bench.load(folder).runner._prompts.clear()
    assert same(bench.run(bench.plan(folder, memory=memory))[0], plain)
    assert same(bench.run(bench.plan(folder, loras=(use(one),), memory=memory))[0], with_one)


#: The first block of tiny SD3's transformer has the names and widths of tiny Flux's; real ones differ.
OTHERS = [
    (mine, other) for mine in FAMILIES for other in FAMILIES if mine != other and (mine, other) != ("flux", "sd3")
]


@pytest.mark.parametrize(("mine", "other"), OTHERS)
def test_one_of_another_family_is_refused_and_leaves_nothing_behind(
    fresh_bench: Workbench, folders: dict[str, Path], lora_files: dict[str, list[Path]], mine: str, other: str
) -> None:
    bench, folder = fresh_bench, folders[mine]
    (plain,) = bench.run(bench.plan(folder))
    failed = bench.submit(bench.plan(folder, loras=(use(lora_files[other][2]),))).failed()
    assert (failed.kind, failed.field) == (FailureKind.INVALID_REQUEST, "loras"), failed.message
    assert adapters_in(bench.load(folder).model.pipe) == set()
    bench.load(folder).runner._prompts.clear()
    assert same(bench.run(bench.plan(folder))[0], plain)


def test_a_lack_of_memory_while_loading_is_told_as_such_and_passes(
    lora_files: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe: Any = tiny.sd()
    loras, text = Loras(pipe), lora_files["sd"][2]

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    with monkeypatch.context() as patch:
        patch.setattr(pipe.text_encoder, "load_adapter", full)
        with pytest.raises(torch.OutOfMemoryError):
            loras.activate((use(text),))
    assert adapters_in(pipe) == set()
    assert loras.activate((use(text),))
    assert len(adapters_in(pipe)) == 1


def test_layers_that_a_failed_set_left_are_told_with_the_next(
    lora_files: dict[str, list[Path]], tmp_path: Path
) -> None:
    """Whoever keeps books of the layers must hear of those, too."""
    loras, (one, *_) = Loras(tiny.sd()), lora_files["sd"]
    with pytest.raises(WorkerError, match="no file"):
        loras.activate((use(one), use(tmp_path / "missing.safetensors")))
    assert loras.activate(())
    assert not loras.activate(())
    assert not loras.activate((use(one),))


def test_a_class_that_takes_none_says_so(lora_files: dict[str, list[Path]]) -> None:
    with pytest.raises(WorkerError, match="PixArtAlphaPipeline takes none") as caught:
        Loras(tiny_other.pixart()).activate((use(lora_files["sd"][0]),))
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "loras")


# -------------------------------------------------------------------- whole calls


@pytest.mark.parametrize("wish", ["two", "text"])
@pytest.mark.parametrize("family", FAMILIES)
def test_whole_calls_draw_with_them_and_without_them_again(
    bench: Workbench, folders: dict[str, Path], lora_files: dict[str, list[Path]], family: str, wish: str
) -> None:
    folder, (one, two, text) = folders[family], lora_files[family]
    uses = {"two": (use(one), use(two, 0.5)), "text": (use(text, 0.7),)}[wish]
    model = bench.load(folder).model
    runner = ExclusiveRunner(copy.copy(model), bench.load(folder).runner._loras)

    def draw(plan: Plan) -> Any:
        with torch.inference_mode():
            state = runner.prepare(plan, None, plan.seeds[0])
            runner.tick([state], lambda *_: None)
        output: Any = runner.finish(plan, state).output
        return output

    plain = draw(bench.plan(folder))
    plan = bench.plan(folder, loras=uses)
    picture = draw(plan)
    assert same(picture, diffusers_own(folder, plan, uses))
    assert same(draw(bench.plan(folder)), plain)
    assert not same(picture, plain)


def test_wan_videos_take_them_through_the_engine(fresh_bench: Workbench, tmp_path: Path) -> None:
    folder = tiny_other.write("wan", tmp_path / "wan")
    path = write_lora(tiny_other.wan(), tmp_path / "loras" / "wan.safetensors", parts=("transformer",))
    size: dict[str, Any] = {"width": 32, "height": 32, "num_frames": 5, "num_inference_steps": 2}
    (plain,) = fresh_bench.run(fresh_bench.plan(folder, **size))
    (video,) = fresh_bench.run(fresh_bench.plan(folder, **size, loras=(use(path),)))
    (plain_again,) = fresh_bench.run(fresh_bench.plan(folder, **size))
    frames: list[Any] = [each.frames for each in (plain, video, plain_again)]  # type: ignore[attr-defined]
    assert same(frames[0], frames[2])
    assert not same(frames[0], frames[1])
