"""ControlNets beside a UNet: alone bit for bit what the ControlNet pipelines draw, in company within the tolerance."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from safelight_worker.pipelines.controlnets import ControlNets
from safelight_worker.pipelines.loading import load
from safelight_worker.pipelines.registry import adapter_for
from safelight_worker.pipelines.unet import UNetAdapter
from safelight_worker.types import ControlInput, FailureKind, Inputs, Plan, WorkerError
from tests.support.engines import CPU, Workbench, make_plan, same, spec
from tests.support.exactness import TOLERANCE
from tests.support.siblings import drawn
from tests.support.stepping import advance, begin, draw, finish
from tests.support.tiny_controls import controlnet, write_controlnet, write_picture

FAMILIES = ("sd", "sdxl")

#: A ControlNet's part in a step does not depend on the noise scheduler, but on what its steps are: one of each kind.
SCHEDULERS = (
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "HeunDiscreteScheduler",
    "PNDMScheduler",
)


@pytest.fixture(scope="module")
def adapters(sd_folder: Path, sdxl_folder: Path) -> dict[str, UNetAdapter]:
    made: dict[str, UNetAdapter] = {}
    for name, folder in (("sd", sd_folder), ("sdxl", sdxl_folder)):
        adapter = adapter_for(load(spec(folder), CPU))
        assert isinstance(adapter, UNetAdapter)
        made[name] = adapter
    return made


@pytest.fixture(params=FAMILIES)
def adapter(request: pytest.FixtureRequest, adapters: dict[str, UNetAdapter]) -> UNetAdapter:
    return adapters[request.param]


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory, adapters: dict[str, UNetAdapter]) -> dict[UNetAdapter, list[Path]]:
    """Folders of three ControlNets of each family."""
    folder = tmp_path_factory.mktemp("nets")
    return {
        adapter: [write_controlnet(adapter.model.pipe, folder / f"{name}-{seed}", seed) for seed in (1, 2, 3)]
        for name, adapter in adapters.items()
    }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return [write_picture(folder / f"{seed}.png", seed=seed) for seed in (1, 2)]


@pytest.fixture
def one(adapter: UNetAdapter, nets: dict[UNetAdapter, list[Path]], pictures: list[Path]) -> ControlInput:
    return ControlInput("edges", nets[adapter][0], pictures[0])


@pytest.fixture
def two(
    adapter: UNetAdapter, nets: dict[UNetAdapter, list[Path]], pictures: list[Path], one: ControlInput
) -> tuple[ControlInput, ...]:
    return (replace(one, scale=0.6, end=0.5), ControlInput("depth", nets[adapter][1], pictures[1], 0.3, 0.25, 1.0))


def plan_of(folder: Path, *controls: ControlInput, **changes: Any) -> Plan:
    return make_plan(Path("model"), folder, inputs=Inputs(controls=controls), **changes)


# ------------------------------------------------------------------------------------------------ alone


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0], ids=["guided", "unguided"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_one_controlnet_draws_what_pipe_draws(
    adapter: UNetAdapter, one: ControlInput, tmp_path: Path, scheduler: str, guidance_scale: float
) -> None:
    plan = plan_of(tmp_path, one, scheduler=scheduler, guidance_scale=guidance_scale)
    assert same(draw(adapter, plan), drawn(adapter.model.pipe, plan))


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0], ids=["guided", "unguided"])
def test_two_controlnets_draw_what_pipe_draws(
    adapter: UNetAdapter, two: tuple[ControlInput, ...], tmp_path: Path, guidance_scale: float
) -> None:
    plan = plan_of(tmp_path, *two, guidance_scale=guidance_scale, num_inference_steps=6)
    picture = draw(adapter, plan)
    assert same(picture, drawn(adapter.model.pipe, plan))
    assert not same(picture, draw(adapter, plan_of(tmp_path, two[0], num_inference_steps=6)))


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.5, 1.0), (0.25, 0.75), (0.0, 0.1), (0.9, 1.0)])
def test_a_controlnet_helps_from_its_start_to_its_end_as_in_pipe(
    adapter: UNetAdapter, one: ControlInput, tmp_path: Path, start: float, end: float
) -> None:
    plan = plan_of(tmp_path, replace(one, scale=0.7, start=start, end=end), num_inference_steps=6)
    picture = draw(adapter, plan)
    assert same(picture, drawn(adapter.model.pipe, plan))
    assert not same(picture, draw(adapter, plan_of(tmp_path, replace(one, scale=0.7), num_inference_steps=6)))


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0])
def test_any_scale_draws_what_pipe_draws(adapter: UNetAdapter, one: ControlInput, tmp_path: Path, scale: float) -> None:
    plan = plan_of(tmp_path, replace(one, scale=scale))
    picture = draw(adapter, plan)
    assert same(picture, drawn(adapter.model.pipe, plan))
    uncontrolled = draw(adapter, make_plan(Path("model"), tmp_path))
    assert same(picture, uncontrolled) is (scale == 0.0)


@pytest.mark.parametrize(("width", "height"), [(32, 64), (72, 40)])
def test_any_size_draws_what_pipe_draws(
    adapter: UNetAdapter, one: ControlInput, tmp_path: Path, width: int, height: int
) -> None:
    image = write_picture(tmp_path / "picture.png", (width, height))
    plan = plan_of(tmp_path, replace(one, image=image), width=width, height=height)
    assert same(draw(adapter, plan), drawn(adapter.model.pipe, plan))


def test_the_picture_is_followed(adapter: UNetAdapter, one: ControlInput, pictures: list[Path], tmp_path: Path) -> None:
    plan, other = plan_of(tmp_path, one), plan_of(tmp_path, replace(one, image=pictures[1]))
    assert not same(draw(adapter, plan), draw(adapter, other))


# ------------------------------------------------------------------------------------------------ in company


def test_images_with_their_own_pictures_and_scales_share_a_forward(
    adapter: UNetAdapter, two: tuple[ControlInput, ...], pictures: list[Path], tmp_path: Path
) -> None:
    first, second = two
    plans = [
        plan_of(tmp_path, first, second),
        plan_of(tmp_path, replace(first, image=pictures[1], scale=1.1), replace(second, scale=0.0), guidance_scale=1.0),
        plan_of(
            tmp_path,
            replace(first, start=0.5, end=1.0),
            replace(second, image=pictures[0]),
            num_inference_steps=7,
            scheduler="EulerAncestralDiscreteScheduler",
        ),
    ]
    states = [begin(adapter, plan) for plan in plans]
    assert len({state.kind for state in states}) == 1
    while going := [state for state in states if state.step < state.steps]:
        advance(adapter, going)
    for plan, state in zip(plans, states, strict=True):
        apart = np.abs(finish(adapter, plan, state) - drawn(adapter.model.pipe, plan))
        assert float(apart.max()) <= TOLERANCE


def test_images_with_other_controlnets_or_none_do_not_share_a_forward(
    adapter: UNetAdapter, two: tuple[ControlInput, ...], tmp_path: Path
) -> None:
    first, second = two
    chosen: list[tuple[ControlInput, ...]] = [(), (first,), (second,), (first, second), (second, first)]
    assert len({begin(adapter, plan_of(tmp_path, *each)).kind for each in chosen}) == len(chosen)


def test_in_forwards_of_one_length_company_changes_nothing(
    adapter: UNetAdapter, one: ControlInput, pictures: list[Path], tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, one)
    others = [
        plan_of(tmp_path, replace(one, image=pictures[1], scale=0.2), guidance_scale=1.0),
        plan_of(tmp_path, replace(one, start=0.5)),
    ]
    alone, first, last = (begin(adapter, plan) for _ in range(3))
    company, before = ([begin(adapter, other, seed) for other in others] for seed in (1, 2))
    for _ in range(3):
        advance(adapter, [alone], pad_to=8)
        advance(adapter, [first, *company], pad_to=8)
        advance(adapter, [*before, last], pad_to=8)
        assert torch.equal(alone.latents, first.latents)
        assert torch.equal(alone.latents, last.latents)


@pytest.mark.parametrize("scheduler", ["EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"])
@pytest.mark.parametrize("guidance_scale", [5.0, 1.0], ids=["guided", "unguided"])
def test_a_state_goes_to_the_host_and_back_bit_for_bit(
    adapter: UNetAdapter, two: tuple[ControlInput, ...], tmp_path: Path, scheduler: str, guidance_scale: float
) -> None:
    plan = plan_of(tmp_path, *two, scheduler=scheduler, guidance_scale=guidance_scale, num_inference_steps=6)
    state = begin(adapter, plan)
    for _ in range(3):
        advance(adapter, [state])
    buffer = io.BytesIO()
    torch.save(adapter.to_host(state), buffer)
    buffer.seek(0)
    finish(adapter, plan, state)
    back = adapter.from_host(torch.load(buffer, weights_only=False), controls=plan.inputs.controls)
    assert same(finish(adapter, plan, back), drawn(adapter.model.pipe, plan))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_engine_draws_with_and_without_controlnets_at_once(
    bench: Workbench,
    sd_folder: Path,
    sdxl_folder: Path,
    adapters: dict[str, UNetAdapter],
    nets: dict[UNetAdapter, list[Path]],
    pictures: list[Path],
    family: str,
) -> None:
    folder = {"sd": sd_folder, "sdxl": sdxl_folder}[family]
    use = ControlInput("edges", nets[adapters[family]][0], pictures[0])
    chosen: list[tuple[ControlInput, ...]] = [
        (use,),
        (),
        (replace(use, scale=0.5),),
        (use, replace(use, image=pictures[1])),
    ]
    plans = [bench.plan(folder, inputs=Inputs(controls=each), seeds=(n,)) for n, each in enumerate(chosen)]
    together = bench.run_together(plans)
    pipe = bench.load(folder).model.pipe
    alone = [drawn(pipe, plan) for plan in plans]
    assert max(float(np.abs(a - b).max()) for a, b in zip(together, alone, strict=True)) <= TOLERANCE


def test_the_engine_takes_no_controlnet_for_a_picture(
    bench: Workbench,
    sd_folder: Path,
    adapters: dict[str, UNetAdapter],
    nets: dict[UNetAdapter, list[Path]],
    pictures: list[Path],
) -> None:
    use = ControlInput("edges", nets[adapters["sd"]][0], pictures[0])
    bench.load(sd_folder)
    failed = bench.submit(bench.plan(sd_folder, inputs=Inputs(init_image=pictures[0], controls=(use,)))).failed()
    assert (failed.kind, failed.field) == (FailureKind.INVALID_REQUEST, "controls")


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("family", "other"), [("sd", "sdxl"), ("sdxl", "sd")])
def test_a_controlnet_of_another_family_is_refused(
    adapters: dict[str, UNetAdapter],
    nets: dict[UNetAdapter, list[Path]],
    pictures: list[Path],
    tmp_path: Path,
    family: str,
    other: str,
) -> None:
    use = ControlInput("edges", nets[adapters[other]][0], pictures[0])
    with pytest.raises(WorkerError) as refused:
        begin(adapters[family], plan_of(tmp_path, use))
    assert (refused.value.kind, refused.value.field) == (FailureKind.INVALID_REQUEST, "controls")
    assert "edges" in refused.value.message


def test_a_folder_without_weights_is_unavailable(adapter: UNetAdapter, one: ControlInput, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(one.source / "config.json", bare)
    for folder in (bare, tmp_path / "nowhere"):
        with pytest.raises(WorkerError) as failed:
            begin(adapter, plan_of(tmp_path, replace(one, source=folder)))
        assert failed.value.kind is FailureKind.MODEL_UNAVAILABLE
        assert str(folder) in failed.value.message


def test_damaged_weights_are_unavailable(adapter: UNetAdapter, one: ControlInput, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(one.source, damaged)
    (weights,) = damaged.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WorkerError) as failed:
        begin(adapter, plan_of(tmp_path, replace(one, source=damaged)))
    assert failed.value.kind is FailureKind.MODEL_UNAVAILABLE
    # The next request with a sound one is served.
    plan = plan_of(tmp_path, one)
    assert same(draw(adapter, plan), drawn(adapter.model.pipe, plan))


def test_a_picture_that_is_none_is_refused(adapter: UNetAdapter, one: ControlInput, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(WorkerError) as refused:
        begin(adapter, plan_of(tmp_path, replace(one, image=text)))
    assert (refused.value.kind, refused.value.field) == (FailureKind.INVALID_REQUEST, "controls.image")


# ------------------------------------------------------------------------------------------------ what is kept


def test_the_least_recently_used_one_is_forgotten_and_comes_back(
    adapter: UNetAdapter, nets: dict[UNetAdapter, list[Path]]
) -> None:
    kept = ControlNets(adapter.model, kept=2)
    first, second, third = (str(source) for source in nets[adapter])
    one, two = kept.get("1", first), kept.get("2", second)
    assert kept.get("1", first) is one
    kept.get("3", third)
    assert kept.get("1", first) is one
    again = kept.get("2", second)
    assert again is not two
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), two.parameters(), strict=True))


def test_what_failed_to_load_displaces_nothing(
    adapter: UNetAdapter, nets: dict[UNetAdapter, list[Path]], tmp_path: Path
) -> None:
    kept = ControlNets(adapter.model, kept=1)
    one = kept.get("1", str(nets[adapter][0]))
    with pytest.raises(WorkerError):
        kept.get("2", str(tmp_path / "nowhere"))
    assert kept.get("1", str(nets[adapter][0])) is one


def test_more_controlnets_than_are_kept_still_draw_what_pipe_draws(
    adapter: UNetAdapter, two: tuple[ControlInput, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_controlnets", ControlNets(adapter.model, kept=1))
    plan = plan_of(tmp_path, *two)
    assert same(draw(adapter, plan), drawn(adapter.model.pipe, plan))


def test_a_controlnet_that_pools_its_picture_is_refused(
    adapter: UNetAdapter, one: ControlInput, tmp_path: Path
) -> None:
    net = controlnet(adapter.model.pipe)
    net.register_to_config(global_pool_conditions=True)
    net.save_pretrained(tmp_path / "pooling")
    with pytest.raises(WorkerError) as refused:
        begin(adapter, plan_of(tmp_path, replace(one, source=tmp_path / "pooling")))
    assert (refused.value.kind, refused.value.field) == (FailureKind.INVALID_REQUEST, "controls")
