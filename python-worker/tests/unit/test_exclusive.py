"""A pipeline without a step adapter makes what its own call makes, tells how far it is, and can be broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline

from safelight_worker.runners.outputs import Video
from safelight_worker.types import FailureKind, LoraUse, OutputFormat, WorkerError
from tests.support import tiny, tiny_controls, tiny_other
from tests.support.calling import Calling, frames
from tests.support.gates import replaced

FAMILIES = ("pixart", "wan", "animatediff")
VIDEOS = ("wan", "animatediff")


@pytest.fixture(scope="module")
def made() -> dict[str, DiffusionPipeline]:
    return {name: tiny_other.BUILDERS[name]() for name in FAMILIES}


@pytest.fixture
def calling(made: dict[str, DiffusionPipeline], tmp_path: Path) -> Any:
    return lambda name, **defaults: Calling(
        made[name],
        tmp_path,
        **{"width": 48, "height": 32, **({} if name == "pixart" else {"num_frames": 5}), **defaults},
    )


class Stop(Exception):  # noqa: N818  as the engine's own, it is no error
    pass


@pytest.mark.parametrize("negative", ["", "blue"])
def test_a_picture_is_what_the_pipeline_draws(calling: Any, negative: str) -> None:
    pixart = calling("pixart", negative_prompt=negative)
    plan = pixart.plan()
    picture = pixart.run(plan)
    assert picture.shape == (32, 48, 3)
    assert picture.dtype == np.float32
    assert np.array_equal(picture, pixart.reference(plan).images[0])
    assert not np.array_equal(picture, pixart.run(pixart.plan(seeds=(8,))))


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_is_what_the_pipeline_makes(calling: Any, name: str) -> None:
    video = calling(name)
    plan = video.plan(output_format=OutputFormat.MP4)
    output = video.run(plan)
    assert frames(output).shape == (5, 32, 48, 3)
    assert np.array_equal(frames(output), video.reference(plan, num_frames=5).frames[0])


def test_the_frame_rate_is_the_one_the_model_was_trained_for(calling: Any) -> None:
    rates = {name: calling(name).run(calling(name).plan()).fps for name in VIDEOS}
    assert rates == {"wan": 16, "animatediff": 8}


def test_the_number_of_frames_is_the_pipelines_own_when_none_is_asked_for(calling: Any) -> None:
    # AnimateDiff makes 16, more than this motion adapter has positions for.
    with pytest.raises(Exception, match="size of tensor"):
        calling("animatediff").run(calling("animatediff", num_frames=0).plan())
    assert len(frames(calling("wan").run(calling("wan").plan(num_frames=9)))) == 9


@pytest.mark.parametrize("name", FAMILIES)
def test_every_step_is_told(calling: Any, name: str) -> None:
    told: list[tuple[int, int]] = []
    each = calling(name)
    each.run(each.plan(num_inference_steps=4), lambda *at: told.append(at))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_solver_that_takes_two_evaluations_a_step_tells_them_all(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    sdxl = Calling(tiny.sdxl(), tmp_path, scheduler="HeunDiscreteScheduler")
    sdxl.run(sdxl.plan(num_inference_steps=3), lambda *at: told.append(at))
    assert told == [(step, 5) for step in range(1, 6)]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_call_can_be_broken_off_in_the_middle_and_made_again(calling: Any, name: str) -> None:
    each = calling(name)
    plan = each.plan(num_inference_steps=4)
    state = each.begin(plan)

    def stop_at_two(step: int, _steps: int) -> None:
        if step == 2:
            raise Stop

    with torch.inference_mode(), pytest.raises(Stop):
        each.runner.tick([state], stop_at_two)
    assert (state.step, state.output, state.latents) == (0, None, None)
    with torch.inference_mode():
        each.runner.tick([state], lambda _step, _steps: None)
    again = each.runner.finish(plan, state).output
    whole = each.reference(plan, **({} if name == "pixart" else {"num_frames": 5}))
    expected = whole.images[0] if name == "pixart" else whole.frames[0]
    assert np.array_equal(again.frames if isinstance(again, Video) else again, expected)


def test_the_shared_scheduler_is_never_stepped(calling: Any) -> None:
    wan = calling("wan")
    before = repr(vars(wan.pipe.scheduler))
    wan.run(wan.plan())
    assert repr(vars(wan.pipe.scheduler)) == before
    assert "_on_step" not in vars(wan.pipe.scheduler)


def test_a_preview_is_drawn_from_inside_the_call(calling: Any) -> None:
    seen: list[Any] = []
    pixart = calling("pixart")
    plan = pixart.plan()
    state = pixart.begin(plan)
    with torch.inference_mode():
        pixart.runner.tick([state], lambda _step, _steps: seen.append(pixart.runner.preview(state)))
    # Of the size it is denoised at: one pixel a latent.
    assert {picture.shape[-1] for picture in seen} == {3}
    assert all(picture.ndim == 3 and np.isfinite(picture).all() for picture in seen)
    assert not np.array_equal(seen[0], seen[-1])
    assert pixart.runner.preview(state) is None
    assert np.array_equal(pixart.runner.finish(plan, state).output, pixart.reference(plan).images[0])


def test_latents_that_are_not_laid_out_as_a_picture_give_no_preview(calling: Any) -> None:
    seen: list[Any] = []
    wan = calling("wan")
    plan = wan.plan()
    state = wan.begin(plan)
    with torch.inference_mode():
        wan.runner.tick([state], lambda _step, _steps: seen.append(wan.runner.preview(state)))
    assert seen == [None, None, None]


@pytest.mark.parametrize("name", ["pixart", "wan"])
def test_what_is_done_leaves_the_device_and_comes_back(calling: Any, name: str) -> None:
    each = calling(name)
    plan = each.plan()
    state = each.begin(plan)
    assert each.runner.from_host(plan, each.runner.to_host(state)).output is None
    with torch.inference_mode():
        each.runner.tick([state], lambda _step, _steps: None)
    back = each.runner.from_host(plan, each.runner.to_host(state))
    assert (back.step, back.seed, type(back.output)) == (1, plan.seeds[0], type(state.output))
    one, other = (each.runner.finish(plan, it).output for it in (state, back))
    assert np.array_equal(getattr(one, "frames", one), getattr(other, "frames", other))


class Combined(DiffusionPipeline):  # type: ignore[misc]
    """Calls another pipeline on the same components, as diffusers' combined ones do."""

    def __init__(self, vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any) -> None:
        super().__init__()
        parts = {"vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer, "unet": unet, "scheduler": scheduler}
        self.register_modules(**parts)
        self.decoder_pipe = StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )

    def __call__(
        self, prompt: str, num_inference_steps: int = 9, guidance_scale: float = 1.0, generator: Any = None
    ) -> Any:
        return self.decoder_pipe(
            prompt, num_inference_steps=num_inference_steps, guidance_scale=guidance_scale, generator=generator
        )


def test_a_pipeline_inside_another_is_private_counted_and_gets_the_scheduler(tmp_path: Path) -> None:
    base, told = tiny.sd(), []
    names = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    combined = Calling(Combined(**{name: base.components[name] for name in names}), tmp_path)
    before = repr(vars(combined.pipe.decoder_pipe.scheduler))
    plan = combined.plan(scheduler="EulerAncestralDiscreteScheduler", num_inference_steps=4)
    picture = combined.run(plan, lambda *at: told.append(at))
    # It is told neither the size nor the form: what it gives is PIL.
    expected = Calling(base, tmp_path).reference(plan).images[0]
    assert np.array_equal((picture * 255).round(), (expected * 255).round())
    assert told == [(step, 4) for step in range(1, 5)]
    assert repr(vars(combined.pipe.decoder_pipe.scheduler)) == before


def test_a_lora_is_active_for_the_requests_that_name_it(tmp_path: Path) -> None:
    wan = Calling(tiny_other.wan(), tmp_path, width=32, height=32, num_frames=5)
    lora = tiny_controls.write_lora(wan.pipe, tmp_path / "lora.safetensors")
    plain = frames(wan.run(wan.plan()))
    plan = wan.plan(loras=(LoraUse("one", lora, 0.7),))
    changed = frames(wan.run(plan))
    assert not np.array_equal(changed, plain)
    assert np.array_equal(frames(wan.run(wan.plan())), plain)
    assert np.array_equal(frames(wan.run(plan)), changed)
    own = Calling(tiny_other.wan(), tmp_path)
    own.pipe.load_lora_weights(str(tmp_path), weight_name=lora.name, adapter_name="one")
    own.pipe.set_adapters(["one"], [0.7])
    assert np.array_equal(changed, own.reference(plan, num_frames=5).frames[0])


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("pixart", {"output_format": OutputFormat.MP4}, "output_format"),
        ("pixart", {"num_frames": 5}, "num_frames"),
        ("wan", {"scheduler": "DDIMScheduler"}, "scheduler"),
        ("pixart", {"scheduler": "FlowMatchEulerDiscreteScheduler"}, "scheduler"),
        ("pixart", {"loras": (LoraUse("a", Path("a.safetensors")),)}, "loras"),
    ],
)
def test_what_a_class_cannot_do_is_refused_before_any_work(
    calling: Any, name: str, changes: dict[str, Any], field: str
) -> None:
    each = calling(name)
    with pytest.raises(WorkerError) as caught:
        each.runner.check(each.plan(**changes))
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, field)
    each.runner.check(each.plan())


def test_what_the_pipelines_own_check_objects_to_is_the_requests_fault(calling: Any) -> None:
    wan = calling("wan")
    with pytest.raises(WorkerError, match="divisible by 16") as caught:
        wan.run(wan.plan(width=40))
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "height")


def test_an_error_of_the_model_stays_what_it_is(calling: Any) -> None:
    wan = calling("wan")

    def broken(_original: Any) -> Any:
        def forward(*_arguments: Any, **_named: Any) -> Any:
            raise ValueError("height of the tensor is wrong")

        return forward

    with replaced(wan.pipe.transformer, "forward", broken), pytest.raises(ValueError, match="of the tensor"):
        wan.run(wan.plan())
    assert np.isfinite(frames(wan.run(wan.plan()))).all()
