"""Prompts that came before skip the text encoders; what no encoder reads of a long one is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from safelight_worker.pipelines.prompts import unread_tokens
from safelight_worker.pipelines.state import Conditions
from safelight_worker.runners.prompt_cache import PromptCache
from safelight_worker.types import LoraUse, MemoryPlan, Residency
from tests.support import tiny, tiny_other
from tests.support.engines import CPU, PATIENCE, Workbench, same
from tests.support.tiny_controls import write_lora

FAMILIES = ("sd", "sdxl", "sd3", "flux")


@contextmanager
def forwards(pipe: Any) -> Iterator[dict[str, int]]:
    """How often each text encoder computed."""
    counts = {name: 0 for name, each in pipe.components.items() if name.startswith("text_encoder") and each is not None}

    def count(name: str) -> Any:
        def hook(*_: Any) -> None:
            counts[name] += 1

        return hook

    hooks = [getattr(pipe, name).register_forward_pre_hook(count(name)) for name in counts]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


# -------------------------------------------------------------------- through the engine


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_that_came_before_skips_the_encoders_and_draws_the_same(
    fresh_bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    bench, folder = fresh_bench, folders[family]
    pipe = bench.load(folder).model.pipe
    with forwards(pipe) as counts:
        (first,) = bench.run(bench.plan(folder, prompt="and a blue circle"))
        assert all(count > 0 for count in counts.values())
        after_first = dict(counts)
        (second,) = bench.run(bench.plan(folder, prompt="and a blue circle"))
        # Seeds, sizes and steps are nothing to a text encoder.
        bench.run(bench.plan(folder, prompt="and a blue circle", seeds=(1, 2), width=32, num_inference_steps=2))
        assert counts == after_first
    assert same(first, second)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_conditions_depend_on_is_told_apart(
    fresh_bench: Workbench, folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    bench, folder = fresh_bench, folders[family]
    path = write_lora(tiny.BUILDERS[family](), tmp_path / "text.safetensors", parts=("text_encoder",))
    guided: dict[str, Any] = {"true_cfg_scale": 4.0} if family == "flux" else {"guidance_scale": 5.0}
    unguided: dict[str, Any] = {"true_cfg_scale": 1.0} if family == "flux" else {"guidance_scale": 1.0}
    wishes: list[dict[str, Any]] = [
        {"negative_prompt": "red", **guided},
        {"negative_prompt": "blue", **guided},
        {"negative_prompt": "blue", **unguided},
        {"negative_prompt": "red", **guided, "loras": (LoraUse("text", path, 1.0),)},
        {"negative_prompt": "red", **guided, "loras": (LoraUse("text", path, 0.5),)},
        {"negative_prompt": "red", **guided, "prompt": "blue"},
    ]
    first = []
    with forwards(bench.load(folder).model.pipe) as counts:
        for wish in wishes:
            before = counts["text_encoder"]
            first += bench.run(bench.plan(folder, **wish))
            assert counts["text_encoder"] > before, wish
        before = counts["text_encoder"]
        second = [bench.run(bench.plan(folder, **wish))[0] for wish in wishes]
        assert counts["text_encoder"] == before
    assert all(same(one, other) for one, other in zip(first, second, strict=True))
    assert not any(same(one, other) for n, one in enumerate(first) for other in first[:n])


def test_with_phases_a_hit_leaves_the_encoders_where_they_are(fresh_bench: Workbench, sd_folder: Path) -> None:
    bench = fresh_bench
    memory = MemoryPlan(residency=dict.fromkeys(("text_encoder", "unet", "vae"), Residency.PHASE))
    bench.run(bench.plan(sd_folder, memory=memory))
    loader = bench.load(sd_folder).runner._placement._loader
    seen: list[frozenset[str]] = []
    unet = bench.load(sd_folder).model.pipe.unet
    encoder = bench.load(sd_folder).model.pipe.text_encoder
    onload = loader._onload

    def recording(name: str) -> None:
        seen.append(frozenset({name}))
        onload(name)

    loader._onload = recording
    bench.run(bench.plan(sd_folder, memory=memory))
    loader._onload = onload
    assert seen == [{"unet"}, {"vae"}]
    assert encoder is not unet


def test_what_fails_to_encode_is_not_kept(fresh_bench: Workbench, sd_folder: Path) -> None:
    bench = fresh_bench
    encoder = bench.load(sd_folder).model.pipe.text_encoder

    def broken(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = encoder.register_forward_pre_hook(broken)
    bench.submit(bench.plan(sd_folder, prompt="new")).failed()
    hook.remove()
    with forwards(bench.load(sd_folder).model.pipe) as counts:
        bench.run(bench.plan(sd_folder, prompt="new"))
        assert counts["text_encoder"] > 0


def test_a_model_that_left_takes_its_prompts_along(fresh_bench: Workbench, sd_folder: Path) -> None:
    bench = fresh_bench
    (first,) = bench.run(bench.plan(sd_folder))
    cache = bench.load(sd_folder).runner._prompts
    assert cache._kept
    assert bench.engine.unload("sd").result(PATIENCE)
    assert not cache._kept
    assert cache._bytes == 0
    with forwards(bench.load(sd_folder).model.pipe) as counts:
        (again,) = bench.run(bench.plan(sd_folder))
        assert counts["text_encoder"] > 0
    assert same(first, again)


# -------------------------------------------------------------------- the cache


def conditions(elements: int = 256, value: float = 0.0) -> Conditions:
    """Four bytes an element, in both branches together and what they share."""
    half = torch.full((1, elements // 4), value)
    return Conditions({"negative": {"text": half}, "positive": {"text": half + 1}}, {"ids": torch.zeros(elements // 2)})


def test_no_more_than_the_capacity_is_kept_and_the_oldest_leave_first() -> None:
    cache, made = PromptCache(CPU, capacity_bytes=3 * 1024), []

    def make(key: str) -> Any:
        def run() -> Conditions:
            made.append(key)
            return conditions()

        return run

    for key in ("a", "b", "c", "a", "d", "a", "b"):
        cache.get(key, make(key))
    assert made == ["a", "b", "c", "d", "b"]
    assert (cache.hits, cache.misses) == (2, 5)
    assert cache._bytes == 3 * 1024


def test_one_larger_than_the_capacity_is_used_and_not_kept() -> None:
    cache = PromptCache(CPU, capacity_bytes=1000)
    first, second = (cache.get("a", conditions) for _ in range(2))
    assert first is not second
    assert cache.misses == 2
    assert cache._bytes == 0


def test_a_failure_is_not_kept() -> None:
    cache = PromptCache(CPU)

    def broken() -> Conditions:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        cache.get("a", broken)
    assert cache.get("a", conditions) is cache.get("a", conditions)


# -------------------------------------------------------------------- what is not read


@pytest.mark.parametrize(
    ("family", "limit", "piece", "marks"),
    [("sd", 32, "! ", 2), ("sdxl", 32, "! ", 2), ("sd3", 256, "!", 2), ("flux", 512, "!", 2)],
)
def test_what_the_encoder_that_reads_furthest_reads_is_not_unread(
    family: str, limit: int, piece: str, marks: int
) -> None:
    pipe = tiny.BUILDERS[family]()
    assert unread_tokens(pipe, piece * (limit - marks)) == 0
    assert unread_tokens(pipe, piece * (limit - marks + 40)) == 40
    assert unread_tokens(pipe, "") == 0


def test_the_encoder_really_reads_that_far() -> None:
    """The last token that counts as read changes the conditions, and the one after it does not."""
    pipe: Any = tiny.flux()

    def encoded(text: str) -> torch.Tensor:
        with torch.no_grad():
            embeds: torch.Tensor = pipe.encode_prompt(text, None, device=CPU)[0]
        return embeds

    reach = 512 - 2
    assert unread_tokens(pipe, "!" * (reach - 1) + "a") == 0
    assert unread_tokens(pipe, "!" * reach + "a") == 1
    assert not torch.equal(encoded("!" * (reach - 1) + "a"), encoded("!" * (reach - 1) + "b"))
    assert torch.equal(encoded("!" * reach + "a"), encoded("!" * reach + "b"))


def test_without_t5_clip_is_all_that_reads() -> None:
    pipe = tiny.sd3(t5=False)
    assert unread_tokens(pipe, "! " * 40) == 40 + 2 - 32


def test_a_tokenizer_whose_encoder_is_missing_reads_nothing() -> None:
    pipe = tiny.sd3()
    pipe.register_modules(text_encoder_3=None)
    assert unread_tokens(pipe, "! " * 40) == 40 + 2 - 32


def test_other_classes_read_as_far_as_their_call_says() -> None:
    pipe = tiny_other.pixart()
    assert unread_tokens(pipe, "!" * (120 - 2)) == 0
    assert unread_tokens(pipe, "!" * 120) == 2


@pytest.mark.parametrize(("family", "text", "beyond"), [("sd", "! " * 40, 10), ("flux", "! " * 40, 0)])
def test_the_log_warns_of_what_nobody_reads_and_of_nothing_else(
    bench: Workbench, folders: dict[str, Path], caplog: pytest.LogCaptureFixture, family: str, text: str, beyond: int
) -> None:
    with caplog.at_level(logging.WARNING):
        bench.run(bench.plan(folders[family], prompt=text))
    told = [vars(record)["unread_tokens"] for record in caplog.records if "unread_tokens" in vars(record)]
    assert told == ([beyond] if beyond else [])
