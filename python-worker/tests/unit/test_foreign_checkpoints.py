"""A checkpoint of something else, or a damaged one, is refused by name, and the worker goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safelight_worker.types import FailureKind, Inputs, LoraUse, ModelSpec, Phase, Plan
from tests.support import tiny
from tests.support.engines import Workbench
from tests.support.resuming import again, file_of, resumed, suspended
from tests.support.tiny_controls import write_lora, write_picture

OTHERS: dict[str, dict[str, Any]] = {
    "request_sha256": {"prompt": "a blue circle"},
    "num_inference_steps": {"num_inference_steps": 5},
    "guidance_scale": {"guidance_scale": 5.5},
    "width": {"width": 72},
    "height": {"height": 56},
    "seeds": {"seeds": (8,)},
    "exact": {"exact": True},
}

MORE: dict[str, dict[str, Any]] = {
    "negative prompt": {"negative_prompt": "red"},
    "noise scheduler": {"scheduler": "DDIMScheduler"},
    "options": {"scheduler_options": {"solver_order": 3}},
    "a seed more": {"seeds": (7, 8)},
    "LoRA": {"loras": (LoraUse("ink", Path("/nowhere.safetensors")),)},
}


@pytest.fixture(scope="module")
def kept(bench: Workbench, sd_folder: Path) -> tuple[Plan, Path]:
    """A plan, and its checkpoint after two of four steps."""
    plan = bench.plan(sd_folder)
    return plan, file_of(plan, suspended(bench, plan, 2).checkpoint)


def refusal(bench: Workbench, plan: Plan, checkpoint: Path) -> str:
    """Why it is not gone on with. The worker is as well as before."""
    failed = bench.submit(again(plan, bench.folder, resume_from=checkpoint)).failed()
    assert (failed.kind, failed.field) == (FailureKind.INVALID_REQUEST, "checkpoint"), failed
    assert failed.phase is Phase.PREPARE
    bench.submit(bench.plan(Path(plan.model.source))).succeeded()
    return failed.message


@pytest.mark.parametrize("name", OTHERS)
def test_that_of_another_request_is_refused_by_what_differs(
    bench: Workbench, kept: tuple[Plan, Path], name: str
) -> None:
    plan, file = kept
    assert f"{name} is " in refusal(bench, replace(plan, **OTHERS[name]), file)


@pytest.mark.parametrize("what", MORE)
def test_whatever_else_differs_it_is_refused(bench: Workbench, kept: tuple[Plan, Path], what: str) -> None:
    plan, file = kept
    assert "another attempt" in refusal(bench, replace(plan, **MORE[what]), file)


def test_that_of_another_strength_is_refused(bench: Workbench, sd_folder: Path, tmp_path: Path) -> None:
    inputs = Inputs(write_picture(tmp_path / "init.png"), None, 1.0)
    plan = bench.plan(sd_folder, inputs=inputs)
    file = file_of(plan, suspended(bench, plan, 2).checkpoint)
    assert "strength is 1.0; expected 0.9" in refusal(bench, replace(plan, inputs=replace(inputs, strength=0.9)), file)
    assert "task is " in refusal(bench, replace(plan, inputs=Inputs()), file)


def test_that_of_another_lora_weight_is_refused(bench: Workbench, sd_folder: Path, tmp_path: Path) -> None:
    lora = LoraUse("ink", write_lora(tiny.sd(), tmp_path / "ink.safetensors"), 0.5)
    plan = bench.plan(sd_folder, loras=(lora,))
    file = file_of(plan, suspended(bench, plan, 2).checkpoint)
    assert "loras is " in refusal(bench, replace(plan, loras=(replace(lora, weight=0.6),)), file)
    assert "loras is " in refusal(bench, replace(plan, loras=()), file)


def test_that_of_other_weights_is_refused(bench: Workbench, kept: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, file = kept
    pipe = tiny.sd()
    pipe.unet.conv_out.bias.data.add_(1)
    pipe.save_pretrained(tmp_path / "other")
    assert "weights_sha256 is " in refusal(
        bench, replace(plan, model=ModelSpec("other", str(tmp_path / "other"))), file
    )


def test_that_of_another_family_is_refused(bench: Workbench, kept: tuple[Plan, Path], sdxl_folder: Path) -> None:
    plan, file = kept
    refusal(bench, replace(plan, model=ModelSpec("sdxl", str(sdxl_folder))), file)


def test_that_of_another_dtype_is_refused(bench: Workbench, kept: tuple[Plan, Path], sd_folder: Path) -> None:
    plan, file = kept
    spec = ModelSpec("halved", str(sd_folder), dtype="bfloat16")
    assert "dtype is 'float32'; expected 'bfloat16'" in refusal(bench, replace(plan, model=spec), file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-200] + bytes([data[-200] ^ 1]) + data[-199:],
        lambda data: b"",
        lambda data: b"PNG" * 1000,
    ],
    ids=["cut off", "one bit", "empty", "something else"],
)
def test_a_damaged_one_is_refused(
    bench: Workbench, kept: tuple[Plan, Path], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    plan, file = kept
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(damage(file.read_bytes()))
    assert str(broken) in refusal(bench, plan, broken)


def test_a_missing_one_is_refused(bench: Workbench, kept: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, _ = kept
    assert "cannot be read" in refusal(bench, plan, tmp_path / "missing.safetensors")


def test_its_own_is_taken_and_may_be_taken_again(bench: Workbench, kept: tuple[Plan, Path]) -> None:
    plan, file = kept
    # What leaves the picture as it is may differ.
    eager = replace(plan, priority=0, preview_interval_ms=1000, metadata={"who": "me"})
    for each in (plan, eager):
        assert len(resumed(bench, each, file)) == 1
